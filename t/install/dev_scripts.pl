# The scripts of dev/ select: dev/test the tests of a folder, dev/install the packages
# of a purpose.

use strict;
use warnings;

use File::Basename qw(basename);
use File::Temp;
use FindBin;
use JSON::PP qw(decode_json encode_json);

use PostgreSQL::Test::Utils;
use Test::More;

my $ROOT = "$FindBin::RealBin/../..";

# The output of a script of dev/, as a list of lines
sub lines_of
{
	my ($script, @arguments) = @_;
	my ($out) = run_command([ "$ROOT/dev/$script", @arguments ]);
	return split /\n/, $out;
}

sub files_in
{
	my ($folder) = @_;
	return sort map { s{^\Q$ROOT\E/}{}r } glob "$ROOT/$folder/*.pl";
}

is_deeply([ lines_of('test', '--list', 't/fdw') ], [ files_in('t/fdw') ], 'a folder stands for its tests');
is_deeply(
	[ lines_of('test', '--list', 't/history/', 't/fdw/jdbc.pl', 'catalog') ],
	[ 'catalog', files_in('t/history'), 't/fdw/jdbc.pl' ],
	'folders, files and pg_regress tests are combined');
is_deeply([ lines_of('test', '--list', 't/fdw/jdbc.pl', 't/fdw') ],
	[ 't/fdw/jdbc.pl', grep { !/jdbc/ } files_in('t/fdw') ], 'a test that is named twice runs once');
command_fails_like([ "$ROOT/dev/test", '--list', 't/none' ], qr/no such test: t\/none/, 'a folder that does not exist is an error');
command_fails_like([ "$ROOT/dev/test", '--list', 't/lib' ], qr/no tests in t\/lib/, 'a folder without tests is an error');

# What needs a key of the API runs only if it is named.
is_deeply([ lines_of('test', '--list', 't/live') ], [ files_in('t/live') ], 'tests of the live API can be named');
unlike(slurp_file("$ROOT/Makefile"), qr/^PROVE_TESTS = (?!.*filter-out t\/live)/m, 'and do not run by themselves');

# The logs and clusters of a test have its file's name without the folder.
my %folders;
$folders{ basename($_) =~ s/\.\w+$//r }++ for glob("$ROOT/t/*/*.pl"), glob("$ROOT/emulator/t/*.t");
is_deeply([ grep { $folders{$_} > 1 } sort keys %folders ], [], 'no two tests have the same name');

my %packages = map { $_ => { map { $_ => 1 } lines_of('install', '--for', $_, '--list') } } qw(build demo test);
for (['build', 'demo'], ['demo', 'test'])
{
	my ($less, $more) = @$_;
	is_deeply([ grep { !$packages{$more}{$_} } keys %{ $packages{$less} } ],
		[], "packages to $less are also packages to $more");
}
ok($packages{build}{'libcurl4-openssl-dev'}, 'building needs libcurl');
is(join(' ', grep { /^postgresql-\d+$/ } keys %{ $packages{build} }), '', 'building needs no server');
is(join(' ', grep { /java|jre|jdbc|bsh|ipc-run|clang|llvm|^postgresql-\d+-/ } keys %{ $packages{demo} }),
	'', 'the demo needs neither Java nor test libraries, nor LLVM by itself');

# dev/contract: what an OpenAPI document has more, less and otherwise than the one that chpg agrees with
my @DOCUMENTS = map { "$ROOT/t/data/$_.json" } qw(openapi additions);
my $SERVICES = '/v1/organizations/{organizationId}/postgres';
my $SERVICE = "$SERVICES/{postgresId}";

# The differences that a change of the documents makes, as lines; the change gets the paths and schemas of
# the vendor's document, then those of the additions.
sub differences
{
	my ($change) = @_;
	my @documents = map { decode_json(slurp_file($_)) } @DOCUMENTS;
	my %agreed = map { $_ => 1 } lines_of('contract');
	my @files = map { File::Temp->new } @documents;

	$change->(map { ($_->{paths}, $_->{components}{schemas}) } @documents);
	for my $i (0 .. $#files)
	{
		my $file = $files[$i];
		print $file encode_json($documents[$i]);
		close $file;
	}
	return [ grep { !$agreed{$_} && !/differences$/ } lines_of('contract', map { $_->filename } @files) ];
}

command_like([ "$ROOT/dev/contract" ], qr/^\d+ operations of other products, 0 differences$/m, 'chpg, the emulator and the facts agree');
for my $file (@DOCUMENTS)
{
	my $facts = decode_json(join '', lines_of('contract', '--facts', $file));
	my $document = decode_json(slurp_file($file));
	$facts->{info} = $document->{info};
	is_deeply($facts, $document, basename($file) . ' has facts only');
}
is_deeply(
	differences(
		sub {
			my ($paths, $schemas) = @_;
			$paths->{"$SERVICE/replay"} = { post => { responses => {} } };
			$paths->{'/v1/organizations/{organizationId}/services'} = { get => {} };
			push @{ $paths->{"$SERVICE/metrics"}{get}{parameters} }, { name => 'step', in => 'query', schema => { type => 'string' } };
			$schemas->{PostgresServiceListItem}{properties}{zone} = { type => 'string' };
			$schemas->{PostgresServicePostRequest}{properties}{network} = { type => 'string' };
		}),
	[
		'new field GET /v1/organizations/{}/postgres zone', 'new parameter GET /v1/organizations/{}/postgres/{}/metrics step',
		'new member of the body POST /v1/organizations/{}/postgres network', 'new operation POST /v1/organizations/{}/postgres/{}/replay',
		'new for the emulator POST /v1/organizations/{}/postgres/{}/replay'
	],
	'what is new');
is_deeply(
	differences(
		sub {
			my ($paths, undef, $added_paths, $added_schemas) = @_;
			my $logs = $added_paths->{"$SERVICE/logs"}{get};
			delete $paths->{"$SERVICE/caCertificates"};
			$logs->{parameters} = [ grep { $_->{name} ne 'severity' } @{ $logs->{parameters} } ];
			delete $added_schemas->{OrganizationQuota}{properties}{usage};
		}),
	[
		'gone operation GET /v1/organizations/{}/postgres/{}/caCertificates', 'gone parameter GET /v1/organizations/{}/postgres/{}/logs severity',
		'gone field GET /v1/organizations/{}/quotas usage'
	],
	'what is gone');
is_deeply(
	differences(
		sub {
			my ($paths) = @_;
			my %limit = map { $_->{name} => $_ } @{ $paths->{"$SERVICE/slowQueryPatterns"}{get}{parameters} };
			$limit{limit}{schema}{maximum} = 250;
			$limit{db_name}{required} = JSON::PP::true;
			$paths->{"$SERVICE/metrics"}{get}{security} = [ { key => ['control-plane:metrics:view'] } ];
		}),
	[
		'changed permissions GET /v1/organizations/{}/postgres/{}/metrics control-plane:metrics:view, not control-plane:postgres-service:view',
		'changed parameter GET /v1/organizations/{}/postgres/{}/slowQueryPatterns db_name: required, not optional',
		'changed size of a page GET /v1/organizations/{}/postgres/{}/slowQueryPatterns 250, not 500'
	],
	'what has changed');
command_exit_is([ "$ROOT/dev/contract", "$ROOT/META.json" ], 2, 'what is no such document');

done_testing();
