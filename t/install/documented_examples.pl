# README.md and docs/ say what is so: every SQL example runs, in order, and prints what the page
# shows; shell examples parse; links lead somewhere; the reference is that of the catalog.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgExamples qw(read_page run_page differences shell_blocks links_of anchors_of);
use ChpgTest;
use File::Basename qw(dirname);
use File::Temp;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my @pages = ("$root/README.md", sort glob "$root/docs/*.md");
my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'compute_query_id = off');

needs_extension($node, 'postgres_fdw');     # of an example in docs/lifecycle.md

# On PostgreSQL 15 and 16 as the pages advise; pg_stat_statements is in one of the examples.
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = '" . ($node->pg_version < 17 ? 'chpg, ' : '') . "pg_stat_statements'");
$node->restart;
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;

# Run a page with a key that nobody has used; what is wrong with it.
my $runs = 0;

sub wrong_with
{
	my ($page) = @_;
	my $key = 'exampleKey' . ++$runs;

	reset_emulator($url, fleet => 'demo', keys => { $key => $KEY_SECRET });
	run_page($page, url => $url, key_id => $key, key_secret => $KEY_SECRET);
	return differences($page);
}

sub page_of
{
	my ($text) = @_;
	my $file = File::Temp->new(SUFFIX => '.md');

	print $file $text;
	close $file;
	return read_page("$file");
}

# What is broken is noticed.
my $sql = "```sql\nSELECT name FROM chpg_services WHERE name = 'search';\n```\n\n";
my $output = "```\n  name\n--------\n search\n(1 row)\n```\n";

is_deeply([ wrong_with(page_of($sql . $output)) ], [], 'an example that is as it says');
for my $broken (
	[ 'another output', $sql . $output =~ s/search/orders/r ],
	[ 'a row more', $sql . $output =~ s/ search\n/ search\n search\n/r ],
	[ 'an unknown column', $sql =~ s/name/nam/r ],
	[ 'an expected error that does not come', "<!-- example: fails 42703 -->\n$sql" ],
	[ 'another error than expected', "<!-- example: fails 42704 -->\n" . $sql =~ s/name/nam/r ],
	[ 'no rows where some are shown', $sql =~ s/'search'/'none'/r . "<!-- example: output varies -->\n$output" ],
	[ 'another column', $sql . "<!-- example: output varies -->\n" . $output =~ s/  name/  title/r ],
	[ 'another text beside numbers', $sql . "<!-- example: numbers vary -->\n" . $output =~ s/search/orders/r ],
	[ 'an unknown command of psql', "```sql\n\\nosuch\n```\n" ])
{
	is(scalar(wrong_with(page_of($broken->[1]))), 1, "noticed: $broken->[0]");
}
for my $broken (
	[ 'an unknown word', "<!-- example: skip -->\n$sql" ],
	[ 'no reason', "<!-- example: not run -->\n$sql" ],
	[ 'output of nothing', "Text\n\n$output" ])
{
	ok(!eval { page_of($broken->[1]) }, "refused: $broken->[0]");
}

# The pages
for my $file (@pages)
{
	my $page = read_page($file);
	my $name = $file =~ s{^\Q$root\E/}{}r;
	my @wrong = wrong_with($page);

	is(join("\n", @wrong), '', "$name: its examples");
	for my $block (shell_blocks($page))
	{
		my ($out, $err) = run_command([ 'bash', '-n', '-c', $block->{text} ]);

		is($err, '', "$name:$block->{line}: a shell example parses");
	}
}

# Links
my %anchors;

for my $file (@pages, map { "$root/$_" } qw(CONTRIBUTING.md SECURITY.md CHANGELOG.md bench/README.md emulator/README.md))
{
	my $page = read_links($file);
	my @broken;

	for my $link (links_of($page))
	{
		my ($path, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
		my $target = $path eq '' ? $file : dirname($file) . "/$path";

		push @broken, $link
		  if !-e $target || (defined $anchor && !grep { $_ eq $anchor } @{ $anchors{$target} //= [ anchors_of(read_links($target)) ] });
	}
	is_deeply(\@broken, [], $file =~ s{^\Q$root\E/}{}r . ': its links');
}

# A page that may have no examples
sub read_links
{
	my ($file) = @_;
	return { lines => [ split /\n/, slurp_file($file) ] };
}

# The reference
$node->safe_psql('postgres', 'CREATE SCHEMA chpg; CREATE EXTENSION chpg SCHEMA chpg');
my ($reference, $errors) = run_command([ 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', "$root/dev/reference.sql" ]);

is($errors, '', 'the reference can be made');
my %is_shown = map { $_ => 1 } split /\n/, slurp_file("$root/docs/reference.md");
my @missing = grep { !$is_shown{$_} } split /\n/, $reference;

is(join("\n", @missing), '', 'docs/reference.md has what the catalog has: see dev/reference');
ok("$reference\n" eq slurp_file("$root/docs/reference.md"), 'docs/reference.md is current');

done_testing();
