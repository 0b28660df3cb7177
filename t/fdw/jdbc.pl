# A JDBC client, as BI tools are: it finds tables, columns, types and comments, and
# reads a table in parts; only the parts that it reads are requested. BeanShell is Java
# without a compiler.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use IPC::Run qw(run);
use Test::More;

my @JARS = map { "/usr/share/java/$_.jar" } qw(bsh postgresql);

my @missing = grep { !-e } '/usr/bin/java', @JARS;
die "not installed: @missing" if @missing;

my $url = start_emulator();
my $node = start_node('main', "listen_addresses = '127.0.0.1'", "timezone = 'UTC'");

# Passwords, since the client connects by TCP
$node->safe_psql('postgres', connect_sql($url) . <<"SQL");
CREATE SCHEMA cloud;
IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud;
SELECT chpg_comment_tables('cloud');
CREATE ROLE client LOGIN PASSWORD 'word';
GRANT USAGE ON SCHEMA cloud TO client;
GRANT SELECT ON ALL TABLES IN SCHEMA cloud TO client;
CREATE USER MAPPING FOR client SERVER chpg OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET');
SQL
unlink $node->data_dir . '/pg_hba.conf';
$node->append_conf('pg_hba.conf', "local all all trust\nhost all client 127.0.0.1/32 scram-sha-256");
$node->restart;
reset_emulator($url, now => '2026-06-30T12:00:30.000Z', services => 2, patterns => 1300);
$node->safe_psql('postgres', 'SELECT FROM chpg_services');    # so that their names are kept

# The program's output: label => [ [ values ], ... ]
sub client
{
	my ($rows) = @_;
	my $jdbc = sprintf 'jdbc:postgresql://127.0.0.1:%d/postgres?user=client&password=word', $node->port;
	my ($out, $err, %printed);

	clear_journal($url);
	ok(run([ 'java', '-Duser.timezone=UTC', '-cp', join(':', @JARS), 'bsh.Interpreter', "$FindBin::RealBin/../jdbc/read.bsh", $jdbc, $ORDERS, $rows ],
			'>', \$out, '2>', \$err), "a client that reads up to $rows rows") or diag("$out$err");
	is($err, '', 'has nothing to complain of');
	for my $line (split /\n/, $out)
	{
		my ($what, @values) = split /\t/, $line;
		push @{ $printed{$what} }, \@values;
	}
	return %printed;
}

my %some = client(300);
is(join(' ', sort map { $_->[0] } @{ $some{table} }), 'backups config logs metrics organizations prometheus service_details services slow_pattern_executions slow_patterns', 'the tables');
is(scalar(grep { ($_->[1] // '') eq '' } @{ $some{table} }), 0, 'all have comments');
my %column = map { $_->[0] => $_ } @{ $some{column} };
is(scalar keys %column, 24, 'the columns of slow_patterns');
is_deeply([ @{ $column{$_->[0]} }[ 1, 2 ] ], [ @$_[ 1, 2 ] ], "the type of $_->[0]")
  for [ from_date => 93, 'timestamptz' ], [ query_id => -5, 'int8' ], [ query_text => 12, 'text' ], [ p99_duration_us => 8, 'float8' ];
is(scalar(grep { ($_->[3] // '') eq '' } values %column), 0, 'all columns have comments');
is(join(' ', map { $_->[0] } @{ $some{read} }), join(' ', (300) x 7), 'some rows, seven times');
is(request_count($url), 7, 'need one page each');

my %all = client(10_000);
my $calls = $node->safe_psql('postgres', "SELECT sum(call_count) FROM chpg_slow_patterns('2026-06-29 00:00Z', '2026-06-30 00:00Z', '$ORDERS')");
is_deeply([ map { "@$_" } @{ $all{read} } ], [ ("1300 $calls") x 7 ], 'all rows, seven times');
is(request_count($url), 7 * 3 + 3, 'need three pages each, and have the rows of the function');

done_testing();
