# PostgreSQL clusters: with or without a connection to the API, as a standby, with pg_cron.
package ChpgTest::Node;

use strict;
use warnings;

use Exporter qw(import);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ChpgTest::Emulator;

our @EXPORT = qw(
  main_node sql as_role
  start_node start_standby start_cron_node needs_extension
  connect_sql connect_call add_server
);

my $main;

# Start a cluster without the extension, with these lines in its configuration.
# Its backends share the request budget, which before PostgreSQL 17 needs
# preloading, and no response is cached.
sub start_node
{
	my ($name, @configuration) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my @usual = ('chpg.cache_ttl = 0');

	push @usual, "shared_preload_libraries = 'chpg'"
	  if $node->pg_version < 17;
	$node->init;
	$node->append_conf('postgresql.conf', join("\n", @usual, @configuration, ''));
	$node->start;
	$main //= $node;
	return $node;
}

# The cluster that start_node(), or start_cron_node(), started first
sub main_node { return $main }

# Run a statement there; returns what it printed.
sub sql { my ($sql, %psql) = @_; return $main->safe_psql('postgres', $sql, %psql) }

# The same, connected as this role
sub as_role { my ($role, $sql) = @_; return sql($sql, extra_params => [ '-U', $role ]) }

# Start a standby of a cluster.
sub start_standby
{
	my ($primary) = @_;
	my $standby = PostgreSQL::Test::Cluster->new('standby');

	$primary->backup('base');
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->start;
	return $standby;
}

# Start a cluster in which pg_cron runs beside chpg, with these lines in its
# configuration.  Returns it and pg_cron's shortest schedule: seconds are possible
# since 1.5, minutes before.
sub start_cron_node
{
	my ($name, @configuration) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->start;
	my $version = needs_extension($node, 'pg_cron');
	$node->append_conf('postgresql.conf',
		join("\n", "shared_preload_libraries = 'chpg, pg_cron'", 'cron.use_background_workers = on', @configuration, ''));
	$node->restart;
	$main //= $node;
	return ($node, $version =~ /^1\.[0-4]\b/ ? '* * * * *' : '1 second');
}

# Skip the whole file unless this extension is available: Debian may have no package
# of it yet.  dev/test's summary names such files.  Returns the extension's version.
sub needs_extension
{
	my ($node, $name) = @_;
	my $version = $node->safe_psql('postgres',
		"SELECT default_version FROM pg_available_extensions WHERE name = '$name'");

	plan(skip_all => "$name is not installed") if $version eq '';
	return $version;
}

# SQL that creates the extension and connects it to the emulator, without a rate
# limit unless one is given.
sub connect_sql
{
	my ($url, $rate_limit) = @_;
	$rate_limit //= 'unlimited';
	return "CREATE EXTENSION chpg; " . connect_call(api_url => $url) . ';'
	  . " ALTER SERVER chpg OPTIONS (ADD rate_limit '$rate_limit');";
}

# A call of chpg_connect() with these arguments, by default with the key that every
# emulator accepts.
sub connect_call
{
	my %arguments = @_;
	my ($key_id, $key_secret) = map { delete $arguments{$_} } qw(key_id key_secret);

	return sprintf "SELECT * FROM chpg_connect('%s', '%s'%s)", $key_id // $KEY_ID, $key_secret // $KEY_SECRET,
	  join '', map { ", $_ => '$arguments{$_}'" } sort keys %arguments;
}

# Create a server with these options, and a user mapping with the emulator's key, by
# statements.
sub add_server
{
	my ($node, $name, %options) = @_;
	my $list = join ', ', map { "$_ '$options{$_}'" } sort keys %options;

	return $node->safe_psql('postgres',
		"CREATE SERVER $name FOREIGN DATA WRAPPER chpg OPTIONS ($list);"
		  . "CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')");
}

1;
