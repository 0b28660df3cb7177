# What the API refuses, and in which words.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use TestEmulator;
use Emulator;

my $emulator = start_emulator();
my $base = $emulator->postgres($TestEmulator::ORDERS, 'slowQueryPatterns');
my $window =
  'from_date=2026-05-25T00:00:00.000Z&to_date=2026-05-26T00:00:00.000Z';
my $identity = 'db_name=sales&db_user=orders_service&db_operation=SELECT';

sub refused
{
	my ($path, $status, $error, %headers) = @_;
	my $answer = $emulator->get($path, %headers);
	is($answer->{status}, $status, "$status: $path");
	is($answer->{json}{status}, $status, 'the body has the status');
	like($answer->{json}{requestId}, qr/^[0-9a-f-]{36}$/, 'the body has a request id');
	if (ref $error)
	{
		like($answer->{json}{error}, $error, 'the body has the error');
	}
	else
	{
		is($answer->{json}{error}, $error, 'the body has the error');
	}
	return;
}

refused('/v1/organizations', 401, qr/^UNAUTHORIZED: /, Authorization => $_)
  for 'Basic eDp5', 'Bearer x', 'Basic !', 'Basic', '';
refused('/v1/nothing', 404, 'NOT_FOUND');
refused('/v1/organizations/', 404, 'NOT_FOUND');
refused('/v1/organizations/xyz/postgres', 404, 'NOT_FOUND');
refused(
	'/v1/organizations/00000000-0000-4000-8000-000000000000/postgres/'
	  . $TestEmulator::ORDERS,
	404, 'NOT_FOUND');
refused($emulator->postgres('xyz'),
	400, 'BAD_REQUEST: Invalid service id <string:xyz>');
refused($emulator->postgres('a%20b'),
	400, 'BAD_REQUEST: Invalid service id <string:a b>');
refused($emulator->postgres("pg$_"), 404, "NOT_FOUND: pg$_") for 'a' x 24;
refused($emulator->postgres('00000000-0000-4000-8000-000000000000'),
	404, 'NOT_FOUND: 00000000-0000-4000-8000-000000000000');
refused('/v1/organizations?x=1', 400, 'BAD_REQUEST: Unknown parameter: x');

refused($base, 400, qr/from_date.*required/);
refused("$base?from_date=2026-05-25T00:00:00.000Z",
	400, qr/to_date.*required/);
refused("$base?$window&from_date=2026-05-25T00:00:00.000Z", 400, qr/twice/);
refused("$base?from_date=$_&to_date=2026-05-26T00:00:00.000Z",
	400, "BAD_REQUEST: '$_'")
  for '2026-05-25T00:00:00Z', '2026-05-25', '', '2026-02-30T00:00:00.000Z',
  '2026-05-25T00:00:00.000', '2026-05-25T00:00:00.000000Z';
refused(
	"$base?from_date=2026-05-26T00:00:00.000Z&to_date=2026-05-26T00:00:00.000Z",
	400, qr/before/);
refused("$base?$window&$_", 400, qr/^BAD_REQUEST: /)
  for 'limit=0', 'limit=501', 'limit=x', 'limit=', 'limit=1.5', 'offset=-1',
  'offset=x',
  'sort_by=x', 'sort_by=', 'sort_order=up', 'unknown=1';

refused("$base/xyz?$identity", 400, qr/^BAD_REQUEST: /);
refused("$base/1", 400, qr/db_\w+.*required/);
for my $name (qw(db_name db_user db_operation))
{
	my $rest = join '&', grep { !/^$name=/ } split /&/, $identity;
	refused("$base/1?$rest", 400, qr/'$name' is required/);
}
refused("$base/1?$identity&timestamp=2026-05-25T00:00:00Z",
	400, "BAD_REQUEST: '2026-05-25T00:00:00Z'");
refused("$base/1?$identity&limit=1",
	400, 'BAD_REQUEST: Unknown parameter: limit');

is($emulator->request('POST', '/v1/organizations')->{status}, 404, 'a method that a path lacks is not found');

is( $emulator->{http}->get("$emulator->{url}/v1/organizations")->{content} =~
	  s/"requestId":"[^"]*"/"requestId":"-"/r,
	'{"error":"UNAUTHORIZED: No Authorization header provided.","requestId":"-","status":401}',
	'a request without a key is refused as the API does it');

# Each route has a list of its own of the parameters that it takes.
my %SAMPLE = (
	organization => $emulator->{organization},
	service => $TestEmulator::ORDERS,
	query_id => 1);
for my $route (Emulator::Api::routes())
{
	my ($method, $path) = ($route->[0], $route->[4]);
	$path =~ s/\{(\w+)\}/$SAMPLE{$1} \/\/ 'x'/ge;
	my $answer = $emulator->request($method, "$path?extra=1");
	is("$answer->{status} $answer->{json}{error}",
		'400 BAD_REQUEST: Unknown parameter: extra',
		"$method $route->[4] refuses a parameter that it does not know");
}

done_testing();
