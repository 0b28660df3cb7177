# The scripts of dev/ select: dev/test the tests of a folder, dev/install the packages
# of a purpose.

use strict;
use warnings;

use File::Basename qw(basename);
use FindBin;

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

done_testing();
