# SECURITY.md names a test for each claim, and every test of an attack is named there.

use strict;
use warnings;

use FindBin;

use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my ($holds) = slurp_file("$root/SECURITY.md") =~ /^## What holds\n(.*?)^## /ms;
my @claims = grep { !/^\| \*\*|^\| *\||^\|---/ } $holds =~ /^\|.*/mg;
my %named;

cmp_ok(scalar @claims, '>', 20, 'there are claims');
for my $claim (@claims)
{
	my ($what, $tests) = $claim =~ /^\| (.*) \| (.*) \|$/;
	my @files = ($tests // '') =~ /`([^`]+)`/g;

	$named{$_} = 1 for @files;
	ok(@files && !grep({ !-f file_of($_) } @files), $what // $claim);
}
is_deeply([ grep { !$named{$_} && $_ ne 'claims.pl' && slurp_file("$root/SECURITY.md") !~ /`\Q$_\E`/ } map { s{.*/}{}r } glob "$FindBin::RealBin/*.pl" ],
	[], 'each attack is named');

sub file_of
{
	my ($name) = @_;

	return "$root/$name" if $name =~ m{^t/};
	return $name =~ /\.pl$/ ? "$FindBin::RealBin/$name" : "$root/sql-tests/sql/$name.sql";
}

done_testing();
