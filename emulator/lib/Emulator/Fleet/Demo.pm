# The demo fleet: the databases of a shop, and what happens to them.  Pure data;
# Emulator::Model computes the answers from it.
package Emulator::Fleet::Demo;

use strict;
use warnings;

our $ORGANIZATION = 'Harbor Goods';

# Settings of all services; a service's own come on top.
our %CONFIG = (
	pgConfig => {
		max_connections => '400',
		random_page_cost => '1.1',
		statement_timeout => '30s',
		idle_in_transaction_session_timeout => '60s',
		log_min_duration_statement => '250ms'
	},
	pgBouncerConfig => { default_pool_size => '80', max_client_conn => '2000' });

# A pattern is a line with executions per hour, then for each execution
# milliseconds, rows, blocks, the percentage of these that are read from
# storage, bytes of WAL and the percentage of time on CPU; then user, operation
# and application.  The text follows, indented.  Operation UNKNOWN is the bucket
# of errors, whose statements are not known.

# What the control plane runs on every service
our @EVERYWHERE = patterns(<<'END');
1800  0.011  1  0  0  0  90  postgres SELECT bin/monitor
	SELECT $1

1800  0.014  1  0  0  0  90  postgres SELECT bin/monitor
	SELECT pg_is_in_recovery()

360   0.024  1  0  0  0  90  postgres SELECT bin/monitor
	SELECT pg_current_wal_lsn(), extract($1 from now() - pg_postmaster_start_time())
END

# Per service: fields of the API; the database; names of courses of
# day and week (Emulator::Load); storage_used in percent now, and how much a day adds; memory_used and
# memory_cached in percent; pool, connections that applications keep open;
# tables, for the log; config; patterns, or another service's (like) at a
# fraction of its rate (scale).
#
# Events: from one hour to another, counted from the full hour before the
# emulator's start, each pattern that "pattern" matches, by text or application,
# has its calls, micros or blocks multiplied.
our @SERVICES = (
	{
		name => 'orders',
		id => 'pg7myrd1j06p3gx4zrm2ze8qz6',
		fields => 'aws us-east-1 r8gd.large 237 18 sync',
		cores => 2,
		memory_gb => 16,
		age_days => 412,
		team => 'fulfilment',
		environment => 'production',
		database => 'sales',
		shape => 'shop',
		storage_used => 57.2,
		growth => 0.11,
		memory_used => 61,
		memory_cached => 31,
		pool => 58,
		tables => [qw(orders order_items jobs)],
		events => [
			# The regression: since then the plan reads the customer's orders
			# by date and filters, instead of by an index on both columns.
			{
				pattern => qr/^SELECT \* FROM orders WHERE customer_id/,
				from => -8,
				micros => 5.2,
				blocks => 60
			}
		],
		patterns => [ patterns(<<'END') ],
84000   3.1   10  12  0.4  0     86  orders_service SELECT orders-api
	SELECT * FROM orders WHERE customer_id = $1 ORDER BY created_at DESC LIMIT $2

120000  0.16  1   4   0.3  0     80  orders_service SELECT orders-api
	SELECT * FROM orders WHERE id = $1

26000   1.3   1   9   0.5  1450  62  orders_service INSERT orders-api
	INSERT INTO orders (customer_id, status, total, created_at) VALUES ($1, $2, $3, now()) RETURNING id

26000   1.8   3   14  0.5  1180  66  orders_service INSERT orders-api
	INSERT INTO order_items (order_id, product_id, quantity, price) SELECT $1, * FROM unnest($2::int[], $3::int[], $4::numeric[])

48000   1.2   1   8   0.6  930   64  orders_service UPDATE orders-api
	UPDATE orders SET status = $1, updated_at = now() WHERE id = $2

90000   2.2   8   26  0.7  0     84  orders_service SELECT orders-api
	SELECT oi.*, p.name FROM order_items oi JOIN products p ON p.id = oi.product_id WHERE oi.order_id = ANY($1)

110000  0.19  1   4   0.2  0     82  orders_service SELECT orders-api
	SELECT id, name, email FROM customers WHERE id = $1

7200    1.6   0   6   0.1  0     70  orders_service SELECT orders-worker
	SELECT * FROM jobs WHERE state = $1 ORDER BY run_at LIMIT $2 FOR UPDATE SKIP LOCKED

26000   1.1   1   5   0.1  880   60  orders_service DELETE orders-worker
	DELETE FROM jobs WHERE id = $1

9000    4.6   12  38  1.1  0     81  support SELECT backoffice
	SELECT * FROM orders WHERE status = $1 AND updated_at > $2 ORDER BY updated_at LIMIT $3

3       0     0   0   0    0     0   orders_service UNKNOWN orders-api
END
	},
	{
		name => 'storefront',
		fields => 'aws us-east-1 r8gd.xlarge 237 18 async',
		cores => 4,
		memory_gb => 32,
		age_days => 398,
		team => 'web',
		environment => 'production',
		database => 'shop',
		shape => 'shop',
		storage_used => 41.6,
		growth => 0.06,
		memory_used => 54,
		memory_cached => 38,
		pool => 96,
		tables => [qw(carts sessions reviews)],
		# The N+1 is the first pattern: each page of a category asks for its
		# products one by one.
		patterns => [ patterns(<<'END') ],
1400000  0.22  1   3   0.1  0    88  web SELECT web
	SELECT "products".* FROM "products" WHERE "products"."id" = $1 LIMIT $2

92000    3.9   24  31  0.4  0    86  web SELECT web
	SELECT id, slug, position FROM products WHERE category_id = $1 AND published ORDER BY position LIMIT $2

240000   0.11  1   3   0.1  0    84  web SELECT web
	SELECT * FROM sessions WHERE token = $1 AND expires_at > now()

64000    1.1   1   6   0.2  410  58  web UPDATE web
	UPDATE sessions SET last_seen_at = now() WHERE token = $1

150000   1.7   5   16  0.3  0    83  web SELECT web
	SELECT ci.*, p.price FROM cart_items ci JOIN products p ON p.id = ci.product_id WHERE ci.cart_id = $1

52000    1.4   1   8   0.3  760  61  web INSERT web
	INSERT INTO cart_items (cart_id, product_id, quantity) VALUES ($1, $2, $3) ON CONFLICT (cart_id, product_id) DO UPDATE SET quantity = excluded.quantity

84000    2.6   12  24  0.6  0    82  web SELECT web
	SELECT * FROM reviews WHERE product_id = $1 ORDER BY helpful DESC LIMIT $2

46000    6.2   8   64  0.7  0    85  web SELECT web
	SELECT product_id, score FROM recommendations WHERE customer_id = $1 ORDER BY score DESC LIMIT $2

5200     8.4   90  70  0.2  420  64  web DELETE sidekiq
	DELETE FROM sessions WHERE id = ANY($1)

9        0     0   0   0    0    0   web UNKNOWN web
END
	},
	{
		name => 'billing',
		fields => 'aws us-east-1 m8gd.xlarge 474 17 sync',
		cores => 4,
		memory_gb => 16,
		age_days => 405,
		team => 'payments',
		environment => 'production',
		database => 'billing',
		shape => 'office',
		storage_used => 48.9,
		growth => 0.08,
		memory_used => 66,
		memory_cached => 27,
		pool => 42,
		tables => [qw(payments invoices ledger_entries)],
		# The missing index is that of the first pattern, which scans payments.
		patterns => [ patterns(<<'END') ],
2100    412   1   61350  0.5  0     84  billing SELECT billing-webhooks
	SELECT id, invoice_id, amount, state FROM payments WHERE merchant_reference = $1

76000   1.3   3   11     0.5  0     81  billing SELECT billing-api
	SELECT * FROM invoices WHERE account_id = $1 AND period = $2

15000   1.6   1   12     0.4  1320  60  billing INSERT billing-api
	INSERT INTO payments (invoice_id, amount, currency, merchant_reference) VALUES ($1, $2, $3, $4) RETURNING id

14000   1.4   1   9      0.5  890   63  billing UPDATE billing-worker
	UPDATE invoices SET state = $1, paid_at = $2 WHERE id = $3 AND state = $4

58000   1.2   2   10     0.4  610   62  billing INSERT billing-worker
	INSERT INTO ledger_entries (account_id, invoice_id, amount) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::numeric[])

44000   2.4   1   15     0.6  0     84  billing SELECT billing-api
	SELECT balance, updated_at FROM account_balances WHERE account_id = $1 FOR SHARE

6400    7.8   40  66     1.0  0     80  billing SELECT billing-worker
	SELECT * FROM invoices WHERE state = $1 AND due_on <= $2 ORDER BY due_on LIMIT $3

16000   1.9   1   12     0.4  740   58  billing UPDATE billing-worker
	UPDATE account_balances SET balance = balance + $1, updated_at = now() WHERE account_id = $2

2       0     0   0      0    0     0   billing UNKNOWN billing-api
END
	},
	{
		name => 'inventory',
		fields => 'gcp us-east1 c4a-standard-8-lssd 750 18 async',
		cores => 8,
		memory_gb => 32,
		age_days => 371,
		team => 'logistics',
		environment => 'production',
		database => 'catalog',
		shape => 'shop',
		storage_used => 36.4,
		growth => 0.05,
		memory_used => 49,
		memory_cached => 42,
		pool => 64,
		tables => [qw(stock stock_movements)],
		# The error burst: two hours in which imports lock rows in another order.
		events => [
			{
				pattern => qr/^inventory-sync errors$/,
				from => -4,
				to => -2,
				calls => 2600
			}
		],
		error => [ '40P01', 'deadlock detected' ],
		patterns => [ patterns(<<'END') ],
210000  1.2   4   13  0.3  0    85  inventory SELECT inventory-api
	SELECT sku, available, reserved FROM stock WHERE warehouse_id = $1 AND sku = ANY($2)

72000   1.7   1   10  0.4  560  63  inventory UPDATE inventory-api
	UPDATE stock SET reserved = reserved + $1 WHERE sku = $2 AND available - reserved >= $1

98000   1.6   1   11  0.4  420  66  inventory UPDATE inventory-sync
	UPDATE stock SET available = available + $1, synced_at = now() WHERE warehouse_id = $2 AND sku = $3

98000   1.1   1   6   0.2  380  60  inventory INSERT inventory-sync
	INSERT INTO stock_movements (warehouse_id, sku, delta, reason) VALUES ($1, $2, $3, $4)

38000   3.2   18  34  0.9  0    82  inventory SELECT inventory-api
	SELECT * FROM stock_movements WHERE sku = $1 AND created_at > $2 ORDER BY created_at

12000   5.4   36  58  0.7  0    84  inventory SELECT inventory-sync
	SELECT sku, reorder_at FROM stock WHERE warehouse_id = $1 AND available < reorder_at LIMIT $2

4       0     0   0   0    0    0   inventory UNKNOWN inventory-sync
END
	},
	{
		name => 'search',
		fields => 'aws us-east-1 r8gd.xlarge 474 18 none',
		cores => 4,
		memory_gb => 32,
		age_days => 263,
		team => 'discovery',
		environment => 'production',
		database => 'catalog_search',
		shape => 'shop',
		storage_used => 63.8,
		growth => 0.12,
		memory_used => 71,
		memory_cached => 22,
		pool => 36,
		tables => [qw(products product_embeddings)],
		# The drifting settings
		config => {
			pgConfig => { random_page_cost => '4', statement_timeout => '0' }
		},
		patterns => [ patterns(<<'END') ],
124000  7.6   20  96   0.6  0     89  search SELECT search-api
	SELECT id, title, ts_rank(document, query) FROM products, websearch_to_tsquery($1) query WHERE document @@ query ORDER BY 3 DESC LIMIT $2

31000   11.8  20  170  0.8  0     91  search SELECT search-api
	SELECT product_id, embedding <=> $1 AS distance FROM product_embeddings ORDER BY distance LIMIT $2

180000  1.3   8   10   0.2  0     84  search SELECT search-api
	SELECT term, weight FROM suggestions WHERE prefix = $1 ORDER BY weight DESC LIMIT $2

4200    9.6   1   42   0.6  3900  77  search UPDATE search-indexer
	UPDATE products SET document = to_tsvector($1, title || $2 || body) WHERE id = $3

3800    4.1   1   24   0.5  3600  70  search INSERT search-indexer
	INSERT INTO product_embeddings (product_id, embedding) VALUES ($1, $2) ON CONFLICT (product_id) DO UPDATE SET embedding = excluded.embedding

5200    3.8   1   18   0.4  3100  68  search INSERT search-indexer
	INSERT INTO suggestions (prefix, term, weight) VALUES ($1, $2, $3) ON CONFLICT (prefix, term) DO UPDATE SET weight = excluded.weight

5       0     0   0    0    0     0   search UNKNOWN search-api
END
	},
	{
		name => 'analytics',
		fields => 'aws us-east-1 r8gd.4xlarge 950 18 none',
		cores => 16,
		memory_gb => 128,
		age_days => 336,
		team => 'data',
		environment => 'production',
		database => 'warehouse',
		shape => 'office',
		# Near its limit
		storage_used => 88.6,
		growth => 0.74,
		memory_used => 58,
		memory_cached => 36,
		pool => 24,
		tables => [qw(events daily_sales)],
		patterns => [ patterns(<<'END') ],
26000  6.4   31   48   0.9  0     86  analyst SELECT metabase
	SELECT day, revenue, orders FROM daily_sales WHERE store_id = $1 AND day BETWEEN $2 AND $3 ORDER BY day

9000   14.2  240  180  1.3  0     88  analyst SELECT metabase
	SELECT category_id, day, revenue FROM daily_category_sales WHERE day BETWEEN $1 AND $2

5400   21.5  410  160  1.6  0     85  analyst SELECT metabase
	SELECT cohort, week, customers FROM weekly_cohorts WHERE cohort >= $1

7200   18.6  500  120  0.4  8800  64  etl INSERT airflow
	INSERT INTO events SELECT * FROM json_populate_recordset(NULL::events, $1)

6800   8.3   60   44   0.4  8600  66  etl INSERT airflow
	INSERT INTO daily_sales SELECT * FROM unnest($1::date[], $2::int[], $3::numeric[], $4::bigint[]) ON CONFLICT (day, store_id) DO UPDATE SET revenue = excluded.revenue

6100   7.7   60   40   0.4  8900  65  etl INSERT airflow
	INSERT INTO daily_category_sales SELECT * FROM unnest($1::date[], $2::int[], $3::numeric[]) ON CONFLICT (day, category_id) DO UPDATE SET revenue = excluded.revenue

5900   7.1   50   38   0.4  9100  65  etl INSERT airflow
	INSERT INTO weekly_cohorts SELECT * FROM unnest($1::date[], $2::int[], $3::bigint[]) ON CONFLICT (cohort, week) DO UPDATE SET customers = excluded.customers

1      0     0    0    0    0     0   etl UNKNOWN airflow
END
	},
	map {
		my ($like, $age_days) = @$_;
		+{
			name => "$like-staging",
			fields => 'aws us-east-1 r8gd.medium 118 18 none',
			cores => 1,
			memory_gb => 8,
			age_days => $age_days,
			environment => 'staging',
			like => $like,
			scale => 0.002,
			shape => 'office',
			storage_used => 22.4,
			growth => 0.01,
			memory_used => 38,
			memory_cached => 24,
			pool => 8
		}
	} ([ orders => 372 ], [ storefront => 370 ], [ search => 251 ]));

# What a service of the same kind has, it has, too.
my %service = map { $_->{name} => $_ } @SERVICES;
for my $copy (grep { defined $_->{like} } @SERVICES)
{
	$copy->{$_} //= $service{ $copy->{like} }{$_}
	  for qw(team database tables patterns);
}

# Lines of the log: how often, severity, and body with a number in it.
our @LOG = map { [ split ' ', $_, 3 ] } split /\n/, <<'END';
30 LOG     connection authorized: user={user} database={database} application_name={app} pid=%d
18 LOG     disconnection: session time: 0:00:07.%.3s user={user} database={database}
14 LOG     checkpoint complete: wrote %d buffers; 0 WAL file(s) added, 0 removed, 1 recycled
14 LOG     automatic vacuum of table "{database}.public.{table}": index scans: 1, tuples removed: %d
10 LOG     automatic analyze of table "{database}.public.{table}": %d pages scanned
3  WARNING there is already a transaction in progress (pid %d)
2  ERROR   duplicate key value violates unique constraint "{table}_pkey" (id %d)
1  ERROR   canceling statement due to user request (pid %d)
1  FATAL   terminating connection due to idle-in-transaction timeout (pid %d)
END

sub patterns
{
	my ($list) = @_;
	return map { pattern(split /\n\t?/) } split /\n\n/, $list;
}

sub pattern
{
	my ($head, @text) = @_;
	my %pattern = (text => join "\n", @text);
	my $milliseconds;
	(
		$pattern{calls}, $milliseconds,
		@pattern{qw(rows blocks read_percent wal_bytes cpu_percent)},
		@pattern{qw(user operation app)}
	) = split ' ', $head, 10;
	$pattern{micros} = 1000 * $milliseconds;
	return \%pattern;
}

1;
