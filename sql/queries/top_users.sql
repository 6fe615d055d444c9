-- Which ten users have spent most, where are they, and is one of them blocked?
-- Index: fact_user_totals.by_amount from its end, so ten rows are read and none sorted.
SELECT t.user_id, u.city, u.country, t.total_amount, t.transaction_count, b.reason AS blocked_for
FROM (SELECT user_id, total_amount, transaction_count
	FROM fact_user_totals
	ORDER BY total_amount DESC, user_id DESC
	LIMIT 10) AS t
JOIN dim_users AS u ON u.user_id = t.user_id
LEFT JOIN blacklisted_users AS b ON b.user_id = t.user_id
ORDER BY t.total_amount DESC, t.user_id DESC;
