-- What was turned over on each of the last seven days that there are, by type?
-- Amounts are added over all currencies, as the stream processors do; group by currency too to keep them apart.
-- Index: fact_transactions.by_day alone, without a look at the rows.
SELECT day, type, COUNT(*) AS transactions, SUM(amount) AS amount
FROM fact_transactions
WHERE day > (SELECT MAX(day) FROM fact_transactions) - INTERVAL 7 DAY AND status = 'ok'
GROUP BY day, type
ORDER BY day, type;
