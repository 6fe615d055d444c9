-- What share of the transactions failed, by payment method?
-- Index: fact_transactions.by_method alone, without a look at the rows.
SELECT t.payment_method, m.label, t.transactions, t.failed,
	ROUND(100 * t.failed / t.transactions, 2) AS percent
FROM (SELECT payment_method, COUNT(*) AS transactions, SUM(status = 'failed') AS failed
	FROM fact_transactions
	GROUP BY payment_method) AS t
JOIN dim_payment_methods AS m ON m.payment_method = t.payment_method
ORDER BY percent DESC, t.payment_method;
