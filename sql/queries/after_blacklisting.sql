-- Which users have paid since they were blocked, how often and how much?
-- Index: fact_transactions.by_user, and of each user only what came after.
SELECT b.user_id, b.reason, b.severity, b.blacklisted_at, COUNT(*) AS transactions, SUM(t.amount) AS amount
FROM blacklisted_users AS b
JOIN fact_transactions AS t ON t.user_id = b.user_id AND t.happened_at >= b.blacklisted_at
WHERE t.status = 'ok'
GROUP BY b.user_id, b.reason, b.severity, b.blacklisted_at
ORDER BY amount DESC, b.user_id
LIMIT 10;
