# Reads what the files of src/ include, define and use (dev/layers says how),
# and prints the picture of its wings; dies of arrows that point up and cycles.

use strict;
use warnings;

# From top to bottom; each with what it may use.  The files of src/ itself lie
# below all wings, but for chpg, the module, which lies above.
my @WINGS = (
	[ 'fdw', qw(engine protocol net) ],
	[ 'functions', qw(engine protocol net) ],
	[ 'alerts', qw(engine protocol net) ],
	[ 'engine', qw(protocol net) ],
	['protocol'],
	['net'],
	['']);
my %MAY_USE = map { my ($wing, @below) = @$_; ($wing => { map { $_ => 1 } $wing, @below, '' }) } @WINGS;

my (%uses, %files);
read_arrows();

my @wrong = (pointing_up(), map { 'use each other: ' . join(' ', @$_) } cycles());
print_picture();
die map { "$_\n" } @wrong if @wrong;

# Fills %uses: file => { file that it uses => why }.
sub read_arrows
{
	my (%home, @used);

	while (my ($what, $file, $name) = split ' ', <STDIN> // '')
	{
		$files{$file} = 1;
		if ($what eq 'include')
		{
			$uses{$file}{$name} = "$name.h"
			  if $name ne $file && (-e "src/$name.h");
		}
		elsif ($what eq 'define') { $home{$name} = $file; }
		else { push @used, [ $file, $name ]; }
	}
	for (@used)
	{
		my ($file, $symbol) = @$_;
		my $target = $home{$symbol} or next;
		$uses{$file}{$target} = "$symbol()" if $target ne $file;
	}
	$files{$_} = 1 for map { keys %$_ } values %uses;
	return;
}

sub wing_of
{
	return $_[0] =~ m{^(.*)/} ? $1 : '';
}

sub pointing_up
{
	my @up;

	for my $file (sort keys %uses)
	{
		next if $file eq 'chpg';
		for my $target (sort keys %{ $uses{$file} })
		{
			push @up, "points up: $file -> $target ($uses{$file}{$target})"
			  if $target eq 'chpg' || !$MAY_USE{ wing_of($file) }{ wing_of($target) };
		}
	}
	return @up;
}

# Groups of files that each use all others, directly or not
sub cycles
{
	my %reached = map { $_ => reachable($_) } keys %files;
	my (%done, @cycles);

	for my $file (sort keys %files)
	{
		next if $done{$file} || !$reached{$file}{$file};
		my @members = grep { $reached{$file}{$_} && $reached{$_}{$file} } sort keys %files;
		$done{$_} = 1 for @members;
		push @cycles, \@members;
	}
	return @cycles;
}

sub reachable
{
	my @to_visit = keys %{ $uses{ $_[0] } };
	my %reached;

	while (my $file = pop @to_visit)
	{
		push @to_visit, keys %{ $uses{$file} } unless $reached{$file}++;
	}
	return \%reached;
}

sub print_picture
{
	for (@WINGS)
	{
		my ($wing, @below) = @$_;
		my @members = sort grep { wing_of($_) eq $wing && $_ ne 'chpg' } keys %files;
		my %floors;

		for my $file (@members)
		{
			push @{ $floors{ floor_of($file, $wing, {}) } }, $file =~ s{.*/}{}r;
		}
		print "src/$wing", @below ? ', above ' . join(', ', @below) : '', "\n";
		print '    ', join('  ', @{ $floors{$_} }), "\n" for sort { $b <=> $a } keys %floors;
	}
	return;
}

# How many files of its wing lie below one; $above are those on the way to it.
sub floor_of
{
	my ($file, $wing, $above) = @_;
	my $floor = 0;

	for my $target (grep { wing_of($_) eq $wing } keys %{ $uses{$file} })
	{
		next if $above->{$target} || $target eq $file;
		my $height = 1 + floor_of($target, $wing, { %$above, $file => 1 });
		$floor = $height if $height > $floor;
	}
	return $floor;
}
