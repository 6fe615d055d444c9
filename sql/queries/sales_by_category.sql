-- Which categories of products sell best?
SELECT p.category, COUNT(*) AS sales, SUM(s.quantity) AS pieces, SUM(s.amount) AS amount
FROM fact_sales AS s
JOIN dim_products AS p ON p.product = s.product
GROUP BY p.category
ORDER BY amount DESC, p.category;
