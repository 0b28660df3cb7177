# Routes: query insights.
package Emulator::Api::Insights;

use strict;
use warnings;

use Emulator::Api
  qw(success refuse running_service parameters integer one_of anything);
use Emulator::Clock qw(parse_time);
use Emulator::Patterns;

my $BASE = '/v1/organizations/{organization}/postgres/{service}';
Emulator::Api::route(GET => "$BASE/slowQueryPatterns", \&list);
Emulator::Api::route(GET => "$BASE/slowQueryPatterns/{query_id}", \&get);

# How long insights are kept
my $RETENTION = 7 * 86400;

# The aggregate of one pattern is that of the last day.
my $DAY = 86400;

# Filters, and the fields they compare
my %FILTER = (
	db_name => 'dbName',
	db_user => 'dbUser',
	db_operation => 'dbOperation',
	app => 'app');

my %LIST_PARAMETERS = (
	from_date => \&timestamp,
	to_date => \&timestamp,
	(map { $_ => \&anything } keys %FILTER),
	sort_by => one_of(sort keys %Emulator::Patterns::SORT_FIELD),
	sort_order => one_of(qw(asc desc)),
	limit => integer(1, 500),
	offset => integer(0));

my %GET_PARAMETERS =
  ((map { $_ => \&anything } keys %FILTER), timestamp => \&timestamp);

sub list
{
	my ($call) = @_;
	my $service = running_service($call);
	my $given = parameters($call, \%LIST_PARAMETERS, qw(from_date to_date));
	refuse(400, 'from_date must be before to_date')
	  if $given->{from_date} >= $given->{to_date};
	my $now = $call->{emulator}{clock}->now;
	my $kept_since = $now - $RETENTION;
	return success('[]')
	  if $given->{from_date} >= $now || $given->{to_date} <= $kept_since;

	my @found = $call->{emulator}{fleet}
	  ->patterns($service, @$given{qw(from_date to_date)}, $kept_since, $now)
	  ->select(
		_filters($given),
		$given->{sort_by}    // 'total_duration',
		$given->{sort_order} // 'desc');
	my $offset = $given->{offset} // 0;
	my $last = $offset + ($given->{limit} // 20) - 1;
	$last = $#found if $last > $#found;
	return success(
		'[' . join(',', map { Emulator::Patterns::json($_) } @found[ $offset .. $last ]) . ']');
}

sub get
{
	my ($call) = @_;
	my $service = running_service($call);
	refuse(400, "'$call->{query_id}'") if $call->{query_id} !~ /\A-?\d+\z/a;
	my $given =
	  parameters($call, \%GET_PARAMETERS, qw(db_name db_user db_operation));

	my $fleet = $call->{emulator}{fleet};
	my $now = $call->{emulator}{clock}->now;
	my @found =
	  $fleet->patterns($service, $now - $DAY, $now, $now - $DAY, $now,
		$call->{query_id})->select(_filters($given), 'total_duration', 'desc');
	return success('{"recentExecutions":[]}', '200.0') if !@found;

	my @executions = $fleet->executions($service, @found);
	@executions =
	  grep { abs($_->[0] - $given->{timestamp}) < 0.0005 } @executions
	  if defined $given->{timestamp};
	return success(
		sprintf(
			'{"aggregate":%s,"recentExecutions":[%s]}',
			Emulator::Patterns::json(Emulator::Patterns::joined(@found)),
			join(',', map { $_->[1] } @executions)),
		'200.0');
}

# A parameter's check; the error is the one of the real API.
sub timestamp
{
	my ($name, $text) = @_;
	return parse_time($text) // refuse(400, "'$text'");
}

sub _filters
{
	my ($given) = @_;
	return {
		map  { $FILTER{$_} => $given->{$_} }
		grep { defined $given->{$_} } keys %FILTER
	};
}

1;
