# Pages of HTML: the tree that they are written as, and what Chromium and validators make of them.
# dev/page-tools installs those.
package ChpgTest::Page;

use strict;
use warnings;

use Exporter qw(import);
use File::Temp qw(tempdir);
use FindBin;
use IPC::Run qw(run);
use JSON::PP;
use Test::More;

our @EXPORT = qw(needs_page_tools inspect_pages written_tree elements text_of);

my $MODULES = ($ENV{CHPG_CI_CACHE} // '/var/cache/chpg-ci') . '/page-tools/node_modules';
my $PROGRAM = "$FindBin::RealBin/../browser/page.js";

# Skip the whole file if there is nothing that could judge pages: dev/test names it then.
sub needs_page_tools
{
	plan(skip_all => 'html-validate and axe-core are not installed (dev/page-tools)') if !-d $MODULES;
	for my $program (qw(node chromium))
	{
		plan(skip_all => "$program is not installed (dev/page-tools)") if !grep { -x "$_/$program" } split /:/, $ENV{PATH};
	}
	return;
}

# What t/browser/page.js says of pages, by their names
sub inspect_pages
{
	my (%pages) = @_;
	my $place = tempdir(CLEANUP => 1);
	my ($out, $err);

	for my $name (keys %pages)
	{
		open my $file, '>:encoding(UTF-8)', "$place/$name.html" or die "$place/$name.html: $!";
		print $file $pages{$name};
		close $file;
	}
	run([ 'node', $PROGRAM, '--modules', $MODULES, map { "$place/$_.html" } sort keys %pages ], '<', \undef, '>', \$out, '2>', \$err)
	  or die "$PROGRAM: $err";
	my $found = decode_json($out);
	return map { $_ => $found->{"$place/$_.html"} } keys %pages;
}

# The tree of a page as it is written: [NAME, {ATTRIBUTE: VALUE}, [CHILD...]], in which a text is a string.  Unlike
# a browser, this parser repairs nothing: each element but meta is closed, each attribute quoted, each special
# character escaped.
sub written_tree
{
	my ($page) = @_;
	my $unescaped = sub {
		my ($text) = @_;
		die "not escaped: $text\n" if $text =~ /[<>"]|&(?!(?:amp|lt|gt|quot|#39|#\d{3,6});)/;
		my %character = (amp => '&', lt => '<', gt => '>', quot => '"', '#39' => "'");
		return $text =~ s/&(\w+|#\d+);/$character{$1} \/\/ chr substr $1, 1/ger;
	};
	my @open = ([ '', {}, [] ]);

	$page =~ s/\A<!DOCTYPE html>\n// or die "no doctype\n";
	pos($page) = 0;
	while (pos($page) < length $page)
	{
		if ($page =~ m{\G<style>(.*?)</style>}gcs)
		{
			push @{ $open[-1][2] }, [ 'style', {}, [$1] ];
		}
		elsif ($page =~ m{\G<([a-zA-Z][a-zA-Z0-9]*)((?: [a-zA-Z0-9-]+="[^"]*")*)>}gc)
		{
			my ($name, $attributes) = ($1, $2);
			my $element = [ $name, { map { /^([^=]*)="(.*)"$/s; $1 => $unescaped->($2) } $attributes =~ / ([^ =]+="[^"]*")/g }, [] ];
			push @{ $open[-1][2] }, $element;
			push @open, $element if $name ne 'meta';
		}
		elsif ($page =~ m{\G</([a-zA-Z][a-zA-Z0-9]*)>}gc)
		{
			die "</$1> closes $open[-1][0]\n" if $open[-1][0] ne $1;
			pop @open;
		}
		elsif ($page =~ m{\G([^<]+)}gc)
		{
			push @{ $open[-1][2] }, $unescaped->($1);
		}
		else
		{
			die 'neither tag nor text: ' . substr($page, pos($page), 60) . "\n";
		}
	}
	die "not closed: $open[-1][0]\n" if @open != 1;
	my ($root) = grep { ref } @{ $open[0][2] };
	return $root;
}

# The elements of a tree with a name, or all
sub elements
{
	my ($tree, $name) = @_;
	return if !ref $tree;
	return ((!defined $name || $tree->[0] eq $name ? $tree : ()), map { elements($_, $name) } @{ $tree->[2] });
}

sub text_of
{
	my ($tree) = @_;
	return ref $tree ? join '', map { text_of($_) } @{ $tree->[2] } : $tree;
}

1;
