# pgaudit logs what chpg_connect() and chpg_disconnect() change, without the secret.
# User mappings belong to its class "ddl" on PostgreSQL 15, and to "role" on 17.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = PostgreSQL::Test::Cluster->new('main');

$node->init;
$node->start;
needs_extension($node, 'pgaudit');
my $libraries = join ', ', 'pgaudit', ('chpg') x ($node->pg_version < 17);
$node->append_conf('postgresql.conf', <<"CONFIGURATION");
shared_preload_libraries = '$libraries'
pgaudit.log = 'ddl, role'
pgaudit.log_parameter = on
log_statement = none
CONFIGURATION
$node->restart;
$node->safe_psql('postgres', 'CREATE EXTENSION chpg; CREATE EXTENSION pgaudit');

my $connect = "SELECT * FROM chpg_connect('$KEY_ID', '$KEY_SECRET'";
$node->safe_psql('postgres', $_)
  foreach "$connect, api_url => '$url')", "$connect)", "$connect, api_url => '$url/v1')", 'SELECT chpg_disconnect()',
  "$connect, 'it''s \"mine\"', api_url => '$url')";
$node->stop;

my $log = slurp_file($node->logfile);
my ($organization) = $log =~ /organization_id '([-0-9a-f]+)'/;
my $mapping = 'USER MAPPING FOR CURRENT_USER SERVER';
my $key = "key_id '$KEY_ID', key_secret '***'";
my $set_key = "SET key_id '$KEY_ID', SET key_secret '***'";
my $server = "OPTIONS (api_url '$url', organization_id '$organization')";

is_deeply(
	audited(),
	[
		"CREATE SERVER chpg FOREIGN DATA WRAPPER chpg $server",
		"CREATE $mapping chpg OPTIONS ($key)",
		"ALTER $mapping chpg OPTIONS ($set_key)",
		"ALTER SERVER chpg OPTIONS (SET api_url '$url/v1')",
		"ALTER $mapping chpg OPTIONS ($set_key)",
		"DROP $mapping chpg",
		qq(CREATE SERVER "it's ""mine""" FOREIGN DATA WRAPPER chpg $server),
		qq(CREATE $mapping "it's ""mine""" OPTIONS ($key))
	],
	'pgaudit logs the statements');
unlike($log, qr/$KEY_SECRET/, 'and no secret');

# The texts of the statements that pgaudit logs: the fields after "AUDIT: " are CSV.
sub audited
{
	my @texts;

	foreach my $fields ($log =~ /AUDIT: SESSION,\d+,\d+,(?:DDL|ROLE),((?:CREATE|ALTER|DROP) (?:SERVER|USER MAPPING),.*)$/mg)
	{
		my @values = $fields =~ /("(?:[^"]|"")*"|[^,]*)(?:,|$)/g;
		push @texts, $values[3] =~ /^"(.*)"$/ ? $1 =~ s/""/"/gr : $values[3];
	}
	return \@texts;
}

done_testing();
