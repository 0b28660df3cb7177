# Log lines, made hour by hour.  Each hour begins with a line and has three lines in
# one millisecond, two of them equal.
package Emulator::Logs;

use strict;
use warnings;

use Mojo::JSON      qw(encode_json);
use Mojo::Util      qw(decode);
use Emulator::Clock qw(format_time);
use Emulator::Random;

our @SEVERITIES = qw(DEBUG LOG INFO NOTICE WARNING ERROR FATAL PANIC);

# The least number of lines in an hour
our $FEWEST = 4;

my $HOUR = 3600;

# Share, severity, and body with a number in it
my @FORMS = map { [ split ' ', decode('UTF-8', $_), 3 ] } split /\n/, <<'END';
24 LOG     checkpoint complete: wrote %d buffers; 0 WAL file(s) added, 0 removed, 1 recycled
24 LOG     connection authorized: user=app database=sales application_name=orders-api pid=%d
16 LOG     duration: %d ms  execute <unnamed>: SELECT * FROM orders WHERE customer_id = $1
12 LOG     automatic vacuum of table "sales.public.orders": index scans: 1, tuples removed: %d
4  DEBUG   snapshot of %d running transaction ids
4  INFO    analyzing "public.orders": scanned %d pages
6  NOTICE  table "staging_%d" does not exist, skipping
10 WARNING there is already a transaction in progress (%d)
12 ERROR   duplicate key value violates unique constraint "orders_%d_key"
8  ERROR   deadlock detected while process %d waited for ShareLock
8  ERROR   invalid input syntax for type integer: "Straße %d"
6  ERROR   relation "café_%d" does not exist at character 15
8  FATAL   password authentication failed for user "guest%d"
1  PANIC   could not write to file "pg_wal/xlogtemp.%d": No space left on device
END

# Each form as often as its share
my @WEIGHTED = map {
	my ($share, $severity, $body) = @$_;
	([ $severity, $body ]) x $share
} @FORMS;

# options: seed, and lines in each hour
sub new
{
	my ($class, %options) = @_;
	return bless { %options, hours => {} }, $class;
}

# The lines of a service from one time to another, both included, oldest first
sub lines
{
	my ($self, $service, $from, $to) = @_;
	my @hours = int($from / $HOUR) .. int($to / $HOUR);
	return grep { $_->{at} >= $from && $_->{at} <= $to }
	  map { @{ $self->_hour($service, $_) } } @hours;
}

sub _hour
{
	my ($self, $service, $hour) = @_;
	my $number = $service->{number};
	return $self->{hours}{"$number $hour"} //= _made(
		$self->{lines_per_hour},
		$hour,
		Emulator::Random->new($self->{seed}, 'logs', $number, $hour),
		$service->{model} ? $service->{model}->log_forms($hour) : \@WEIGHTED);
}

# The lines of an hour.  Only the three lines of one millisecond share one.
sub _made
{
	my ($count, $hour, $random, $forms) = @_;
	my %taken = (0 => 1);
	while (keys %taken < $count - 2)
	{
		$taken{ $random->between(1, 3_599_999) } = 1;
	}
	my @milliseconds = sort { $a <=> $b } keys %taken;
	my $shared = $milliseconds[ $random->between(1, $#milliseconds) ];
	my @lines;
	for my $millisecond (@milliseconds)
	{
		my $at = $hour * $HOUR + $millisecond / 1000;
		my $line = _line($random, $at, $forms);
		push @lines, $line;
		push @lines, $line, _other($random, $at, $forms, $line)
		  if $millisecond == $shared;
	}
	return \@lines;
}

# A line of the same time that differs from the given one
sub _other
{
	my ($random, $at, $forms, $line) = @_;
	my $other;
	do
	{
		$other = _line($random, $at, $forms);
	} while ($other->{json} eq $line->{json});
	return $other;
}

sub _line
{
	my ($random, $at, $forms) = @_;
	my ($severity, $form, $database) = @{ $random->pick(@$forms) };
	my $body = sprintf $form, $random->between(1, 99999);
	$body = _structured($random, $severity, $body, $database)
	  if $random->chance(0.05);
	my %line = (
		timestamp => format_time($at),
		severity => $severity,
		body => $body);
	return { %line, at => $at, json => encode_json(\%line) };
}

# A body as jsonlog writes it, in characters
sub _structured
{
	my ($random, $severity, $message, $database) = @_;
	return decode(
		'UTF-8',
		encode_json(
			{
				error_severity => $severity,
				message => $message,
				pid => $random->between(100, 99999),
				dbname => $database
				  // $random->pick(qw(sales reports postgres)),
				backend_type => 'client backend'
			}));
}

1;
