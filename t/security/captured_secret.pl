# A secret in a statement other than a plain SELECT is stored elsewhere:
# pg_stat_statements has the texts of utility statements, with their literals.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $NOTICE = qr/NOTICE:  secret may be recorded with the statement text: call chpg_connect\(\) as a plain SELECT/;

my $url = start_emulator();
my $node = start_node('main', "shared_preload_libraries = 'chpg, pg_stat_statements'", 'pg_stat_statements.track = all');
my $connect = "chpg_connect('$KEY_ID', '$KEY_SECRET', api_url => '$url')";

$node->safe_psql('postgres', 'CREATE EXTENSION chpg; CREATE EXTENSION pg_stat_statements; CREATE TABLE kept (server text);'
	  . "SELECT * FROM $connect; ALTER SERVER chpg OPTIONS (ADD rate_limit 'unlimited')");

# A plain SELECT, in every form and protocol: no notice, and no secret
my @plain = (
	"SELECT * FROM $connect",
	"SELECT $connect",
	"SELECT ($connect).server",
	"SELECT c.server, 1 FROM $connect c, generate_series(1, 2)",
	"SELECT s.* FROM generate_series(1, 1), LATERAL (SELECT * FROM $connect OFFSET 0) s",
	"WITH c AS MATERIALIZED (SELECT * FROM $connect) SELECT * FROM c",
	"SELECT (SELECT server FROM $connect)",
	"SELECT 1 WHERE EXISTS (SELECT FROM $connect)",
	"SELECT server FROM $connect UNION ALL SELECT 'x' ORDER BY 1 LIMIT 1");
foreach my $sql (@plain)
{
	foreach my $protocol ('simple', 'extended', 'prepared')
	{
		my $said = by_protocol($protocol, $sql);

		unlike($said, qr/NOTICE|ERROR/, "$protocol: $sql");
	}
	unlike(notices($node, "BEGIN; $sql; COMMIT"), qr/NOTICE/, "in a transaction: $sql");
	unlike(notices($node, "SELECT 1\\; $sql\\; SELECT 2;"), qr/NOTICE/, "among several: $sql");
}
unlike(statistics(), qr/\Q$KEY_SECRET\E/, 'pg_stat_statements has no secret of a plain SELECT');

# Other statements
my @others = (
	"CREATE TABLE made AS SELECT * FROM $connect",
	"SELECT * INTO made2 FROM $connect",
	"EXPLAIN ANALYZE SELECT * FROM $connect",
	"COPY (SELECT * FROM $connect) TO STDOUT",
	"DO \$\$ BEGIN PERFORM $connect; END \$\$",
	"DO \$\$ DECLARE r record; BEGIN FOR r IN SELECT * FROM $connect LOOP END LOOP; END \$\$",
	"BEGIN; DECLARE c CURSOR FOR SELECT * FROM $connect; FETCH c; COMMIT",
	"BEGIN\\; DECLARE d CURSOR FOR SELECT * FROM $connect\\; FETCH d\\; COMMIT;",
	"PREPARE p AS SELECT * FROM $connect; EXECUTE p",
	"PREPARE q AS SELECT * FROM $connect\\; EXECUTE q;",
	"PREPARE r AS SELECT * FROM chpg_connect(\$1, \$2); EXECUTE r ('$KEY_ID', '$KEY_SECRET')",
	"INSERT INTO kept SELECT server FROM $connect",
	"CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS \$\$ BEGIN RETURN (SELECT server FROM $connect); END \$\$; SELECT f()",
	"CREATE FUNCTION g() RETURNS SETOF text LANGUAGE plpgsql AS \$\$ BEGIN RETURN QUERY SELECT server FROM $connect; END \$\$; SELECT * FROM g()",
	"CREATE FUNCTION h() RETURNS text LANGUAGE sql VOLATILE SET work_mem = '4MB' AS \$\$ SELECT server FROM $connect \$\$; SELECT h()",
	"CREATE FUNCTION i() RETURNS SETOF text LANGUAGE sql VOLATILE SET work_mem = '4MB' AS \$\$ SELECT server FROM $connect \$\$; SELECT * FROM i()",
	"CREATE PROCEDURE j() LANGUAGE plpgsql AS \$\$ BEGIN PERFORM $connect; END \$\$; CALL j()");
foreach my $sql (@others)
{
	like(notices($node, $sql), $NOTICE, "a notice: $sql");
}
like(statistics(), qr/\Q$KEY_SECRET\E/, 'pg_stat_statements has the secret of other statements');

# The same for a password
my $error = notices($node, "\\set VERBOSITY verbose\nSET chpg.dry_run = on; DO \$\$ BEGIN PERFORM chpg_set_password('orders', 'Secret1Secret1Secret1'); END \$\$");
like($error, qr/call chpg_set_password\(\) as a plain SELECT/, 'a password in a DO block');
unlike(notices($node, q{SET chpg.dry_run = on; SELECT chpg_set_password('orders', 'Secret1Secret1Secret1')}), qr/plain SELECT/,
	'a password in a plain SELECT');

# The output of pgbench, which sends the statement once
sub by_protocol
{
	my ($protocol, $sql) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/statement.sql';
	my $said = '';

	unlink $file;
	append_to_file($file, "$sql;\n");
	IPC::Run::run([ 'pgbench', '-n', '-t', 1, '-M', $protocol, '-f', $file, '-h', $node->host, '-p', $node->port, 'postgres' ], '>&', \$said);
	is($?, 0, "$protocol: $sql succeeds") or diag($said);
	return $said;
}

sub statistics { return $node->safe_psql('postgres', 'SELECT query FROM pg_stat_statements') }

done_testing();
