-- Which days changed after the fact: what was sent an hour or more after it happened, and how late at worst?
-- Index: fact_transactions.by_lateness alone, and of it only what is late.
SELECT day, COUNT(*) AS late, SUM(amount) AS amount, ROUND(MAX(late_seconds) / 3600, 1) AS worst_hours
FROM fact_transactions
WHERE late_seconds >= 3600
GROUP BY day
ORDER BY day;
