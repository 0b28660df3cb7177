# Log lines, made hour by hour. Some come in the same millisecond, and some twice.
package Emulator::Logs;

use strict;
use warnings;

use Mojo::JSON      qw(encode_json);
use Emulator::Clock qw(format_time);
use Emulator::Random;

our @SEVERITIES = qw(DEBUG LOG INFO NOTICE WARNING ERROR FATAL PANIC);

my @LINES = (
	[ 'LOG', 'checkpoint complete: wrote %d buffers' ],
	[ 'LOG', 'connection authorized: user=app database=sales pid=%d' ],
	[ 'LOG', 'automatic vacuum of table "sales.public.orders": index scans: %d' ],
	[ 'WARNING', 'there is already a transaction in progress (%d)' ],
	[ 'ERROR', 'duplicate key value violates unique constraint "orders_%d_key"' ],
	[ 'ERROR', 'deadlock detected while process %d waited for ShareLock' ],
	[ 'ERROR', "invalid input syntax for type integer: \"Stra\x{df}e %d\"" ],
	[ 'FATAL', 'password authentication failed for user "guest%d"' ]);

# options: seed, and lines in each hour (at least 4)
sub new
{
	my ($class, %options) = @_;
	return bless { %options, hours => {} }, $class;
}

# The lines of a service from one time to another, both included, oldest first
sub lines
{
	my ($self, $service, $from, $to) = @_;
	return grep { $_->{at} >= $from && $_->{at} <= $to }
	  map { @{ $self->_hour($service, $_) } } int($from / 3600) .. int($to / 3600);
}

sub _hour
{
	my ($self, $service, $hour) = @_;
	return $self->{hours}{"$service->{number} $hour"} //= do {
		my $random = Emulator::Random->new($self->{seed}, 'logs', $service->{number}, $hour);
		my $same = $random->between(1, 3_599_999);
		my @milliseconds = (0, $same, $same, $same,
			map { $random->between(1, 3_599_999) } 5 .. $self->{lines_per_hour});
		my @lines = map { _line($random, $hour * 3600 + $_ / 1000) } sort { $a <=> $b } @milliseconds;
		my @twins = grep { $lines[$_]{at} == $lines[ $_ - 1 ]{at} } 1 .. $#lines;
		$lines[ $twins[0] ] = { %{ $lines[ $twins[0] - 1 ] } };
		\@lines;
	};
}

sub _line
{
	my ($random, $at) = @_;
	my ($severity, $form) = @{ $random->pick(@LINES) };
	my $body = sprintf $form, $random->between(1, 99999);
	$body = qq({"message":"$severity","detail":{"pid":) . $random->between(1, 99999) . '}}'
	  if $random->chance(0.05);
	return {
		at => $at,
		severity => $severity,
		body => $body,
		json => encode_json({ timestamp => format_time($at), severity => $severity, body => $body })
	};
}

1;
