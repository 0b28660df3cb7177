# Pages of live data overlap: repeated rows are dropped, near or far from their first
# place, in memory or on disk.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $PATTERNS = 22_000;
my $PAGE = 500;

my $url = start_emulator();
my $node = start_node('main', 'log_temp_files = 0');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 1, patterns => $PATTERNS);

my $PATTERNS_READ = "chpg_slow_patterns($DAY, (SELECT id FROM chpg_services()))";

# What identifies the rows, in the order of the API
my @rows = map { decode_json($_) } split /\n/, $node->safe_psql('postgres',
	"SELECT json_build_object('queryId', query_id::text, 'queryText', 'x', 'dbName', db_name, 'dbUser', db_user, 'dbOperation', db_operation, 'app', app) FROM $PATTERNS_READ");
is(scalar @rows, $PATTERNS, 'without overlaps all rows come');

# A hundred rows moved down by one page, and others from the very first page.
page_has(20_000, 19_900 .. 20_399);
page_has(21_000, 0 .. 99, 21_100 .. 21_499);

for my $work_mem ('4MB', '64kB')
{
	my $offset = -s $node->logfile;
	my $read = $node->safe_psql('postgres', "SET work_mem = '$work_mem'; SELECT count(*), count(DISTINCT (query_id, db_name, db_user, db_operation, app)) FROM $PATTERNS_READ");
	my $log = substr slurp_file($node->logfile), $offset;

	# In each of the two places, 100 rows were never sent.
	is($read, join('|', ($PATTERNS - 200) x 2), "with work_mem $work_mem each row comes once");
	my @sizes = $log =~ /temporary file: path .*? size (\d+)/g;
	is(scalar(grep { $_ % 8192 == 0 && $_ < 200_000 } @sizes), $work_mem eq '4MB' ? 0 : 1, "$work_mem: " . ($work_mem eq '4MB' ? 'in memory' : 'in a temporary file'));
}

# A page without a new row would be repeated for ever.
page_has(21_500, 0 .. $PAGE - 1);
fails_with($node, "SET work_mem = '64kB'; SELECT count(*) FROM $PATTERNS_READ", '08P01', qr/page 44 has the rows of earlier pages/, 'a page that was there before');

# A row that is twice on one page was not on an earlier one.
clear_faults($url);
page_has(21_500, 21_500 .. 21_998, 21_998);
is($node->safe_psql('postgres', "SELECT count(*) FROM $PATTERNS_READ"), $PATTERNS, 'both of two equal rows of one page');

# Cursors: opaque, sent back as they came, until there is none. Other fields beside the
# result do no harm.
my $ORGANIZATIONS = "SELECT string_agg(name, ' ') FROM chpg_organizations()";
my $CURSOR = 'a+b/=? &%41';

for my $end ({}, { nextCursor => undef })
{
	clear_faults($url);
	cursor_page('^$', ['one'], nextCursor => $CURSOR, limit => 1, totalCount => undef);
	cursor_page('^cursor=a', [], nextCursor => '2');
	cursor_page('^cursor=2$', ['two', 'three'], totalCount => 3, %$end);
	is(costs($node, $url, $ORGANIZATIONS, 3, 'pages of cursors'), 'one two three', 'rows of all pages, one of which is empty');
	is_deeply([ map { $_->{query} } @{ journal($url)->{requests} } ], [ {}, { cursor => $CURSOR }, { cursor => '2' } ], 'cursors go back as they came');
}
for my $case ([ $CURSOR, 2, 'of page 2 is that of an earlier page', 'that repeats' ], [ '', 1, 'of page 1 is no text', 'that is empty' ],
	[ 5, 1, 'of page 1 is no text', 'that is a number' ], [ 'x' x 2049, 1, 'of page 1 is no text', 'that is too long' ])
{
	my ($cursor, $requests, $message, $name) = @$case;
	clear_faults($url);
	cursor_page('', ['one'], nextCursor => $cursor);
	clear_journal($url);
	fails_with($node, $ORGANIZATIONS, '08P01', qr/malformed API response: "nextCursor" $message/, "a cursor $name");
	is(request_count($url), $requests, "a cursor $name: requests");
}

# A key with one organization on the first page may have others behind it.
my ($FIRST, $SECOND) = map { "0000000$_-0000-4000-8000-000000000000" } 1, 2;
my $new = sub { "SELECT organization_id FROM chpg_connect('validKeyId', 'validKeySecret', server => 'pages', api_url => '$url'@_)" };

sub organization_pages
{
	clear_faults($url);
	organization_page('^$', $FIRST, nextCursor => '2');
	organization_page('^cursor=2$', $SECOND, @_);
	return;
}
organization_pages();
fails_with($node, $new->(), '08P01', qr/belongs to 2 organizations/, 'a new connection: organizations of all pages');
is($node->safe_psql('postgres', $new->(", organization_id => '$SECOND'")), $SECOND, 'an organization of the second page');
$node->safe_psql('postgres', 'ALTER SERVER pages OPTIONS (DROP organization_id)');
fails_with($node, "SELECT * FROM chpg_services('pages')", '08P01', qr/belongs to 2 organizations/, 'a read: organizations of all pages');
organization_pages(nextCursor => '2');
clear_journal($url);
fails_with($node, "SELECT * FROM chpg_services('pages')", '08P01', qr/"nextCursor" of page 2 is that of an earlier page/,
	'pages of organizations that repeat');
is(request_count($url), 2, 'pages that repeat: requests');

sub organization_page
{
	my ($query, $id, %beside) = @_;

	return fault($url, path => 'organizations$', query => $query, body => encode_json({ result => [ { id => $id, name => $id } ], %beside }));
}

sub cursor_page
{
	my ($query, $names, %beside) = @_;
	my @rows = map { { id => $_, name => $_ } } @$names;

	return fault($url, path => 'organizations$', query => $query, body => encode_json({ result => \@rows, %beside }));
}

sub page_has
{
	my ($offset, @numbers) = @_;

	return fault($url, path => 'slowQueryPatterns', query => "offset=$offset", body => encode_json({ result => [ @rows[@numbers] ] }));
}

done_testing();
