# Routes: Prometheus metrics, time series, logs.
package Emulator::Api::Monitoring;

use strict;
use warnings;

use Emulator::Api
  qw(success refuse organization running_service parameters integer one_of anything);
use Emulator::Api::Insights;
use Emulator::Exposition;
use Emulator::Logs;
use Emulator::Series;

my $BASE = '/v1/organizations/{organization}/postgres';
Emulator::Api::route(GET => "$BASE/prometheus", \&prometheus_of_all);
Emulator::Api::route(GET => "$BASE/{service}/prometheus", \&prometheus);
Emulator::Api::route(GET => "$BASE/{service}/metrics", \&metrics);
Emulator::Api::route(GET => "$BASE/{service}/logs", \&logs);

# The exposition has at most this many services; the API omits the others without
# saying so.
my $MAX_SERVICES = 100;

# Errors of an organization without that exposition, by the option prometheus_of_all
my %DISABLED = (
	early_access => 'early access API endpoint',
	not_set_up => 'Prometheus has not been setup for this organization');

my $MAX_POINTS = 250;
my $MAX_METRICS_WINDOW = 31 * 86400;
my $MAX_LOGS_WINDOW = 30 * 86400;

# Bucket sizes for a request without one: the first that gives few enough points
my @BUCKETS = (60, 300, 900, 3600, 10800);

my %WINDOW =
  map { $_ => \&Emulator::Api::Insights::timestamp } qw(from_date to_date);
my %METRICS_PARAMETERS = (%WINDOW, bucket_size_seconds => integer(1));
my %LOGS_PARAMETERS = (
	%WINDOW,
	severity => one_of(@Emulator::Logs::SEVERITIES),
	body_contains => \&anything,
	sort_order => one_of(qw(asc desc)),
	limit => integer(1, 2000),
	offset => integer(0));

sub prometheus_of_all
{
	my ($call) = @_;
	my $organization = organization($call);
	my $disabled = $DISABLED{ $call->{emulator}{prometheus_of_all} };
	refuse(403, $disabled) if defined $disabled;
	parameters($call, {});
	my $fleet = $call->{emulator}{fleet};
	my @services =
	  $organization eq ($fleet->organization_ids)[0] ? $fleet->services : ();
	@services =
	  grep { ($_->{fields}{state} // '') !~ /\A(?:creating|deleting)\z/ }
	  @services;
	splice @services, $MAX_SERVICES if @services > $MAX_SERVICES;
	return _text($call, $organization, @services);
}

sub prometheus
{
	my ($call) = @_;
	my $service = running_service($call);
	parameters($call, {});
	return _text($call, $call->{organization}, $service);
}

sub _text
{
	my ($call, $organization, @services) = @_;
	my $emulator = $call->{emulator};
	return {
		status => 200,
		content_type => 'text/plain; charset=UTF-8',
		body => Emulator::Exposition::text(
			$emulator->{fleet}, $emulator->{clock}->now,
			$organization, @services)
	};
}

sub metrics
{
	my ($call) = @_;
	my $service = running_service($call);
	my $given = _window($call, \%METRICS_PARAMETERS, $MAX_METRICS_WINDOW);
	my @window = @$given{qw(from_date to_date)};
	refuse(400, 'from_date must be before to_date')
	  if $window[0] == $window[1];
	my $bucket = $given->{bucket_size_seconds}
	  // (grep { _points(@window, $_) <= $MAX_POINTS } @BUCKETS)[0];
	refuse(400,
		"more than $MAX_POINTS data points; use a larger bucket_size_seconds")
	  if _points(@window, $bucket) > $MAX_POINTS;
	return success(
		Emulator::Series::json(
			$call->{emulator}{fleet}->levels($service), @window,
			$bucket));
}

sub _points
{
	my ($first, $end) = Emulator::Series::buckets(@_);
	return $end - $first;
}

sub logs
{
	my ($call) = @_;
	my $service = running_service($call);
	my $given = _window($call, \%LOGS_PARAMETERS, $MAX_LOGS_WINDOW);
	my @lines = $call->{emulator}
	  ->logs->lines($service, @$given{qw(from_date to_date)});
	@lines = grep { $_->{severity} eq $given->{severity} } @lines
	  if defined $given->{severity};
	@lines = grep { index($_->{body}, $given->{body_contains}) >= 0 } @lines
	  if defined $given->{body_contains};
	@lines = reverse @lines if ($given->{sort_order} // 'desc') eq 'desc';
	my $offset = $given->{offset} // 0;
	my $last = $offset + ($given->{limit} // 50) - 1;
	$last = $#lines if $last > $#lines;
	return success(
		'[' . join(',', map { $_->{json} } @lines[ $offset .. $last ]) . ']');
}

# A window may be a single millisecond, since logs include its end.
sub _window
{
	my ($call, $known, $longest) = @_;
	my $given = parameters($call, $known, qw(from_date to_date));
	my $length = $given->{to_date} - $given->{from_date};
	refuse(400, 'from_date must not be after to_date') if $length < 0;
	refuse(400, 'the window is longer than ' . $longest / 86400 . ' days')
	  if $length > $longest;
	return $given;
}

1;
