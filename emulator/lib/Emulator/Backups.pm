# The base backups of a service: one a day, and the first ten minutes after its
# creation.
package Emulator::Backups;

use strict;
use warnings;

use Emulator::Clock qw(format_time parse_time);
use Emulator::Lifecycle;

my $DAY = 86400;
my $FIRST_AFTER = 600;      # seconds between a service's creation and its first backup
my $RESTORABLE_AFTER = 300; # seconds after the oldest backup

# The clock, the number of days for which backups are kept, and how a service shows
# its earliest restore time: present, null or absent
sub new
{
	my ($class, $clock, $kept, $shown) = @_;
	return bless { clock => $clock, kept => $kept, shown => $shown }, $class;
}

# The epochs of the backups of a service, newest first.  A read replica has none.
sub times
{
	my ($self, $service) = @_;
	my $fields = $service->{fields};
	return if $fields->{state} eq 'creating' || Emulator::Lifecycle::is_replica($service);
	my $now = $self->{clock}->now;
	my $created = _epoch($fields->{createdAt});
	my $oldest = $now - $self->{kept} * $DAY;
	my $first = defined $created ? int($created) + $FIRST_AFTER : $oldest;
	my $at = 3600 * ($service->{number} % 24) + 137;
	my $last = int(($now - $at) / $DAY) * $DAY + $at;
	my @times = grep { $_ > $oldest && $_ > $first }
	  map { $last - $_ * $DAY } 0 .. $self->{kept};
	push @times, $first if $first > $oldest && $first <= $now;
	return @times;
}

# What the list of backups has, newest first
sub list
{
	my ($self, $service) = @_;
	my @times = $self->times($service);
	my $first = defined $times[-1] ? int($times[-1] / $DAY) : 0;
	return map {
		{
			key => sprintf('basebackups_005/00000001%016X_backup_stop_sentinel.json',
				2 + 8 * (int($_ / $DAY) - $first)),
			lastModified => format_time($_) =~ s/\.000Z/Z/r
		}
	} @times;
}

# The member of a single service that has its earliest restore time, as ("name" =>
# text or undef); nothing where it is absent.
sub earliest
{
	my ($self, $service) = @_;
	return if $self->{shown} eq 'absent' || Emulator::Lifecycle::is_replica($service);
	my @times = $self->{shown} eq 'null' ? () : $self->times($service);
	return (earliestRestoreTime => @times
		? format_time($times[-1] + $RESTORABLE_AFTER) : undef);
}

# Tests give services odd times of creation, too.
sub _epoch
{
	my ($text) = @_;
	return defined $text && !ref $text ? parse_time($text) : undef;
}

1;
