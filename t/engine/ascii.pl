# Bytes from outside are classified as ASCII, whatever the database's locale: in a
# single-byte encoding, isalnum() and its kin take bytes of UTF-8 for letters.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;


# No function in src/ depends on the locale.
my $ASKS_LOCALE = qr/\b(?:is(?:alnum|alpha|blank|cntrl|digit|graph|lower|print|punct|space|upper|xdigit)(?:_l)?
	|to(?:lower|upper)(?:_l)?|isw[a-z]+|tow(?:lower|upper)|pg_(?:to(?:lower|upper)|strn?casecmp)
	|strn?casecmp|strcoll|strxfrm|setlocale)\s*\(/x;
my @files = glob "$FindBin::RealBin/../../src/{,*/}*.[ch]";

cmp_ok(scalar @files, '>', 50, 'the sources are there');
for my $file (@files)
{
	my $source = slurp_file($file) =~ s{/\*.*?\*/}{$& =~ tr/\n//cdr}gesr;
	my @lines = split /\n/, $source;
	my @found = grep { $lines[$_] =~ $ASKS_LOCALE } 0 .. $#lines;

	is(join(', ', map { 'line ' . ($_ + 1) . ": $lines[$_]" } @found), '',
		($file =~ s{.*/}{}r) . ' asks no locale about a character');
}

# A locale in which the first byte of an accented letter's UTF-8 is a letter. The test
# generates it, and the server finds it by LOCPATH.
my $locales = PostgreSQL::Test::Utils::tempdir;
run_log([ 'localedef', '-i', 'fr_FR', '-f', 'ISO-8859-1', "$locales/fr_FR.ISO-8859-1" ])
  or die 'localedef failed; is the package "locales" installed?';
$ENV{LOCPATH} = $locales;
$ENV{PGCLIENTENCODING} = 'UTF8';

my $url = start_emulator();
my $node = start_node('main', 'chpg.max_retries = 0');

$node->safe_psql('postgres',
	"CREATE DATABASE french TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'fr_FR.ISO-8859-1'");
is($node->safe_psql('french', "SELECT upper('caf\x{C3}\x{A9}')"), "CAF\x{C3}\x{89}", 'the locale is in use');
$node->safe_psql('french', connect_sql($url));

# The query string of the only request of a statement
sub sent
{
	my ($sql) = @_;
	clear_journal($url);
	$node->safe_psql('french', $sql);
	my @requests = @{ journal($url)->{requests} };
	is(scalar @requests, 1, "one request: $requests[-1]{path}");
	return $requests[-1]{raw_query};
}

like(
	sent("SELECT FROM chpg_slow_patterns($DAY, '$ORDERS', db_name => 'caf\x{C3}\x{A9}', app => '\x{C3}\x{BF}_-.~a1')"),
	qr/db_name=caf%C3%A9&app=%C3%BF_-\.~a1&/, 'a filter is sent percent-encoded');
like(
	sent("SELECT FROM chpg_logs($DAY, '$ORDERS', body_contains => '\x{C3}\x{80}\x{C3}\x{B5}', max_rows => 1)"),
	qr/body_contains=%C3%80%C3%B5&/, 'a text to look for is sent percent-encoded');

done_testing();
