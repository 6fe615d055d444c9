-- How did the last hour go, five minutes at a time, and what part of each window had each type?
-- Index: fact_windows.by_start, and of it only the newest hour.
SELECT window_start, type, transaction_count, total_amount,
	ROUND(100 * total_amount / SUM(total_amount) OVER (PARTITION BY window_start), 1) AS percent
FROM fact_windows
WHERE window_start > (SELECT MAX(window_start) FROM fact_windows) - INTERVAL 1 HOUR
ORDER BY window_start, type;
