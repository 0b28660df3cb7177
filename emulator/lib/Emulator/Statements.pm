# The statements of the test fleet's patterns: pure data, as from a shop's
# databases.
package Emulator::Statements;

use strict;
use warnings;
use utf8;

# Speed classes: calls in a window, and microseconds per call
our %SPEED = (
	probe => { calls => [ 60_000, 600_000 ], micros => [ 4, 40 ] },
	fast => { calls => [ 20_000, 900_000 ], micros => [ 40, 900 ] },
	mid => { calls => [ 900, 90_000 ], micros => [ 1_500, 25_000 ] },
	slow => { calls => [ 5, 900 ], micros => [ 90_000, 6_000_000 ] },
	batch => { calls => [ 1, 30 ], micros => [ 4_000_000, 95_000_000 ] },
	error => { calls => [ 12, 60 ], micros => undef });

# A statement below is a line with speed, database, user, operation and application,
# and then the text, indented.  {n} stands for a suffix that makes further statements
# of one when a service has more patterns than the pool.

# Patterns of every service: the control plane's own, and the bucket of errors whose
# statement is not known.
our @EVERYWHERE = statements(<<'END');
error sales orders_service UNKNOWN orders-api

probe postgres postgres SELECT bin/monitor
	SELECT $1

probe postgres postgres SELECT bin/monitor
	SELECT pg_is_in_recovery()

probe postgres postgres SELECT bin/monitor
	SELECT pg_current_wal_lsn(), extract($1 from now() - pg_postmaster_start_time())
END

# The first one is the example of the vendor's guide.
our @POOL = statements(<<'END');
mid sales orders_service SELECT orders-api
	SELECT * FROM orders{n} WHERE customer_id = $1 ORDER BY created_at DESC LIMIT $2

fast sales orders_service INSERT orders-api
	INSERT INTO orders{n} (customer_id, status, total, created_at) VALUES ($1, $2, $3, now()) RETURNING id

fast sales orders_service UPDATE orders-api
	UPDATE orders{n} SET status = $1, updated_at = now() WHERE id = $2

slow sales reporting SELECT metabase
	SELECT date_trunc($1, o.created_at) AS day,
	       sum(oi.quantity * oi.price) AS revenue
	  FROM orders{n} o
	  JOIN order_items oi ON oi.order_id = o.id
	 WHERE o.created_at >= $2
	 GROUP BY 1
	 ORDER BY 1

fast sales orders_service SELECT orders-api
	SELECT id, name, email FROM customers{n} WHERE id = $1

fast sales orders_service SELECT orders-worker
	SELECT id, name, email FROM customers{n} WHERE id = $1

mid sales orders_service SELECT orders-worker
	SELECT * FROM jobs{n} WHERE state = $1 ORDER BY run_at LIMIT $2 FOR UPDATE SKIP LOCKED

fast sales orders_service DELETE orders-worker
	DELETE FROM jobs{n} WHERE id = $1

slow sales orders_service DELETE orders-worker
	DELETE FROM jobs{n} WHERE state = $1 AND finished_at < now() - $2::interval

mid sales orders_service SELECT orders-api
	SELECT oi.*, p.name FROM order_items{n} oi JOIN products p ON p.id = oi.product_id WHERE oi.order_id = ANY($1)

mid sales support SELECT psql
	SELECT * FROM customers{n} WHERE lower(email) LIKE $1

mid sales orders_service INSERT orders-api
	INSERT INTO order_items{n} (order_id, product_id, quantity, price) SELECT $1, * FROM unnest($2::int[], $3::int[], $4::numeric[])

batch sales postgres UTILITY pg_cron
	VACUUM (ANALYZE) orders{n}

slow sales reporting SELECT metabase
	SELECT c.straße, c."größe", count(*) FROM kunden{n} c GROUP BY 1, 2 -- Übersicht für Łódź, 東京

fast billing billing SELECT billing-api
	SELECT * FROM invoices{n} WHERE account_id = $1 AND period = $2

fast billing billing INSERT billing-api
	INSERT INTO payments{n} (invoice_id, amount, currency, provider_ref) VALUES ($1, $2, $3, $4) ON CONFLICT (provider_ref) DO NOTHING

mid billing billing UPDATE billing-worker
	UPDATE invoices{n} SET state = $1, paid_at = $2 WHERE id = $3 AND state = $4

slow billing billing INSERT billing-worker
	INSERT INTO invoice_lines{n} SELECT u.account_id, u.sku, sum(u.quantity) FROM usage u WHERE u.period = $1 GROUP BY u.account_id, u.sku

slow billing finance SELECT dbt
	SELECT account_id, sum(amount) FILTER (WHERE refunded), sum(amount) FROM payments{n} WHERE created_at >= $1 AND created_at < $2 GROUP BY account_id

batch billing finance SELECT dbt
	WITH RECURSIVE chain AS (SELECT id, parent_id FROM accounts{n} WHERE parent_id IS NULL UNION ALL SELECT a.id, a.parent_id FROM accounts{n} a JOIN chain c ON a.parent_id = c.id) SELECT count(*) FROM chain

fast app app SELECT web
	SELECT * FROM sessions{n} WHERE token = $1 AND expires_at > now()

fast app app UPDATE web
	UPDATE sessions{n} SET last_seen_at = now(), ip = $1 WHERE token = $2

fast app app INSERT web
	INSERT INTO sessions{n} (token, user_id, expires_at) VALUES ($1, $2, now() + $3::interval)

mid app app DELETE sidekiq
	DELETE FROM sessions{n} WHERE expires_at < now()

fast app app SELECT web
	SELECT "users".* FROM "users{n}" WHERE "users"."id" = $1 LIMIT $2

mid app app SELECT web
	SELECT count(*) FROM notifications{n} WHERE user_id = $1 AND read_at IS NULL

mid app app UPDATE sidekiq
	UPDATE users{n} SET sign_in_count = sign_in_count + $1 WHERE id = $2

mid app app SELECT sidekiq
	SELECT pg_try_advisory_lock($1, $2) /* {n} */

batch app migrator UTILITY rails
	CREATE INDEX CONCURRENTLY notifications{n}_user_id_idx ON notifications{n} (user_id)

fast app app UTILITY web
	BEGIN /* {n} */

fast app app UTILITY web
	COMMIT /* {n} */

slow warehouse analyst SELECT superset
	SELECT event_type, count(*), percentile_cont($1) WITHIN GROUP (ORDER BY duration_ms) FROM events{n} WHERE occurred_at >= $2 GROUP BY event_type

batch warehouse etl INSERT airflow
	INSERT INTO daily_active_users{n} SELECT occurred_at::date, count(DISTINCT user_id) FROM events WHERE occurred_at >= $1 GROUP BY 1

slow warehouse etl UTILITY airflow
	COPY events{n} FROM STDIN WITH (FORMAT csv)

batch warehouse etl UTILITY airflow
	REFRESH MATERIALIZED VIEW CONCURRENTLY funnel{n}

slow warehouse analyst SELECT DBeaver 25.1.2 - SQLEditor <Script-3.sql>
	SELECT * FROM events{n} e LEFT JOIN users u USING (user_id) WHERE e.properties @> $1::jsonb ORDER BY e.occurred_at DESC

slow warehouse analyst SELECT superset
	SELECT {many columns} FROM wide_events{n} WHERE occurred_at >= $1

fast catalog inventory SELECT inventory-api
	SELECT sku, available, reserved FROM stock{n} WHERE warehouse_id = $1 AND sku = ANY($2)

mid catalog inventory UPDATE inventory-api
	UPDATE stock{n} SET reserved = reserved + $1 WHERE sku = $2 AND available - reserved >= $1

fast catalog inventory INSERT inventory-sync
	INSERT INTO stock_movements{n} (sku, delta, reason) VALUES ($1, $2, $3)

mid catalog search SELECT search-api
	SELECT id, title, ts_rank(document, query) FROM products{n}, websearch_to_tsquery($1) query WHERE document @@ query ORDER BY 3 DESC LIMIT $2

slow catalog search SELECT search-indexer
	SELECT id, embedding <=> $1 AS distance FROM product_embeddings{n} ORDER BY distance LIMIT $2

mid catalog search UPDATE search-indexer
	UPDATE products{n} SET document = to_tsvector($1, title || $2 || body) WHERE id = ANY($3)

batch catalog postgres UTILITY pg_cron
	REINDEX INDEX CONCURRENTLY products{n}_document_idx
END

sub statements
{
	my ($list) = @_;
	return map { statement(split /\n\t?/) } split /\n\n/, $list;
}

sub statement
{
	my ($head, @text) = @_;
	my %statement = (text => join "\n", @text);
	@statement{qw(speed db user operation app)} = split / /, $head, 5;
	$statement{text} =~ s/\{many columns\}/_many_columns()/e;
	return \%statement;
}

# A list of columns longer than the 2 kB at which texts are cut
sub _many_columns
{
	return join ', ', map { "sum(metric_$_) AS metric_$_" } 1 .. 80;
}

1;
