# ODBC, as Power BI, Tableau and Excel speak it: pyodbc over psqlODBC lists the views of
# chpg_bi_create, previews, filters by time, pages and cancels, and isql lists and reads them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Clients;
use File::Temp;
use IPC::Run qw(run);
use PostgreSQL::Test::Utils;
use Test::More;

my ($library) = glob '/usr/lib/*/odbc/psqlodbcw.so';
plan(skip_all => 'odbc-postgresql is not installed') if !defined $library;
plan(skip_all => 'unixodbc is not installed') if !-x '/usr/bin/isql';
plan(skip_all => 'python3-pyodbc is not installed') if system(q{/usr/bin/python3 -c 'import pyodbc' 2>/dev/null}) != 0;

start_clients();

# As the tools advise: rows in parts, so that a preview reads no more than it shows
my $directory = File::Temp->newdir;
my $port = client_port();
append_to_file("$directory/odbc.ini", <<"INI");
[chpg]
Driver = $library
Servername = 127.0.0.1
Port = $port
Database = postgres
Username = tool
Password = word
UseDeclareFetch = 1
Fetch = 100
INI
$ENV{ODBCINI} = "$directory/odbc.ini";

my @client = ('/usr/bin/python3', "$FindBin::RealBin/read.py", 'pyodbc', $port);
client_step(\@client, @$_) foreach client_steps();
client_cancels(\@client);

# What isql prints for these lines; its lines of a result are between bars.
sub isql
{
	my ($in) = @_;
	my ($out, $err);

	ok(run([ 'isql', '-b', '-d|', 'chpg' ], '<', \$in, '>', \$out, '2>', \$err), "isql: $in") or diag("$out$err");
	return split /\n/, $out;
}

# Columns of a list: catalog, schema, name, type
my @views = sort map { (split /\|/)[2] } grep { (split /\|/)[1] eq 'bi' && (split /\|/)[3] eq 'VIEW' } grep { tr/|// >= 3 } isql("help\n");
my @steps = client_steps();
is("@views", $steps[0][2], 'isql lists the views');
for my $step (grep { $_->[0] eq 'previews' } @steps)
{
	my (undef, $arguments, $rows, $requests) = @$step;

	is(costs_of_isql("SELECT service_id FROM bi.$arguments->[0] LIMIT 1000\n"), "$rows $requests", "isql previews $arguments->[0]");
}

my ($hour) = map { $_->[1][1] } grep { $_->[0] eq 'filters' } @steps;
is(costs_of_isql(qq{SELECT service_id FROM bi.logs WHERE "time" >= {ts '$hour'} AND "time" < {ts '$hour'} + interval '1 hour'\n}),
	join(' ', map { @$_[ 2, 3 ] } grep { "$_->[0] $_->[1][0]" eq 'filters logs' } @steps[ 1 .. $#steps ]), 'isql filters by a time of ODBC');

sub costs_of_isql
{
	my ($in) = @_;
	return client_requests(sub { return scalar isql($in) });
}

done_testing();
