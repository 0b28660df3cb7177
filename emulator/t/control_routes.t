# The control routes: reset, journal and rate limit, and their command line.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use Time::HiRes ();
use TestEmulator;

my $emulator = start_emulator();
$ENV{CHPG_EMULATOR_URL} = $emulator->{url};
my $orders = $emulator->postgres($TestEmulator::ORDERS);

sub ctl
{
	my (@words) = @_;
	open my $pipe, '-|', $^X, "$FindBin::RealBin/../ctl", @words or die $!;
	my $output = do { local $/ = undef; <$pipe> };
	close $pipe;
	return $output;
}

sub bad_reset
{
	my ($body, $error) = @_;
	my $answer = $emulator->{http}
	  ->post("$emulator->{url}/_emulator/reset", { content => $body });
	is($answer->{status}, 400, "reset $body");
	like($answer->{content}, $error, 'the refusal says why');
	return;
}

subtest 'the journal has each request, without its key' => sub {
	$emulator->reset;
	my $before = int Time::HiRes::time;
	$emulator->get('/v1/organizations?x=%C3%A9&y=1&y=2');
	my $after = 1 + int Time::HiRes::time;
	$emulator->get("$orders", Authorization => 'Basic eDp5', Accept => 'a/b');
	my $journal = $emulator->control('GET', 'journal');
	my ($first, $second) = @{ $journal->{requests} };
	is($journal->{connections}, 1, 'requests on one connection count one');
	is($first->{n}, 1, 'an entry has its number');
	ok($before <= $first->{at} && $first->{at} <= $after, 'an entry has the time of arrival');
	is($first->{method}, 'GET', 'an entry has the method');
	is($first->{path}, '/v1/organizations', 'an entry has the path');
	is_deeply($first->{query}, { x => "\x{e9}", y => [ 1, 2 ] }, 'an entry has the decoded query');
	is($first->{raw_query}, 'x=%C3%A9&y=1&y=2', 'an entry has the query as sent');
	is($first->{status}, 400, 'an entry has the status');
	is($first->{headers}{authorization}, 'Basic ok', 'a right key is marked');
	is($second->{headers}{authorization}, 'Basic wrong', 'a wrong key is marked');
	is($second->{headers}{accept}, 'a/b', 'an entry has the other headers');
	is($second->{connection}, $first->{connection}, 'an entry has its connection');
	unlike($emulator->control('GET', 'requests'), qr/eDp5/, 'the journal has no key');
	TestEmulator::drain(
		$emulator->socket(
			"/v1/organizations HTTP/1.1\r\nConnection: close\r\nX: "));
	is($emulator->control('GET', 'connections'), 2, 'requests on two connections count two');
	$emulator->control('DELETE', 'journal');
	is($emulator->control('GET', 'count'), 0, 'a cleared journal is empty');
};

subtest 'the journal has bodies on request' => sub {
	$emulator->reset(record_bodies => 1);
	my $answer = $emulator->{http}->request(
		'PATCH',
		"$emulator->{url}$orders",
		{
			headers => { Authorization => $TestEmulator::AUTHORIZATION, 'Content-Type' => 'application/json' },
			content => qq({"tags": [],  "name":"\xc3\xa9"})
		});
	my ($entry) = @{ $emulator->control('GET', 'journal')->{requests} };
	is($entry->{request_text}, qq({"tags": [],  "name":"\x{e9}"}), 'the body of the request is as sent');
	utf8::encode(my $response = $entry->{response_text});
	is($response, $answer->{content}, 'the body of the response is as sent');
	is($entry->{response_type}, $answer->{headers}{'content-type'}, 'the content type of the response is recorded');

	$emulator->control('DELETE', 'journal');
	$emulator->get($orders);
	ok(exists $emulator->control('GET', 'journal')->{requests}[0]{response_text}, 'clearing the journal does not end the recording');
	$emulator->reset;
	$emulator->get($orders);
	ok(!exists $emulator->control('GET', 'journal')->{requests}[0]{response_text}, 'a reset ends the recording');
};

subtest 'a reset applies its options and no others' => sub {
	my $info = $emulator->reset(
		services => 2,
		patterns => 3,
		key_id => 'a',
		key_secret => 'b');
	is(scalar @{ $info->{services} }, 2, 'the fleet has as many services as wanted');
	is($info->{key_id}, 'a', 'info has the new key');
	is($emulator->get($orders)->{status}, 401, 'the old key is refused');
	is($emulator->get($orders, Authorization => 'Basic YTpi')->{status},
		200, 'the new key is accepted');
	$emulator->reset(keys => { a => 'b' });
	is($emulator->get($orders)->{status}, 200,
		'a reset without a key brings back that of the start');
	is($emulator->get($orders, Authorization => 'Basic YTpi')->{status},
		200, 'further keys are accepted');
	bad_reset('{"nix":1}', qr/no \\"nix\\"; it has/);
	bad_reset('[]', qr/object/);
	bad_reset('nonsense', qr/object/);
	bad_reset('{"services":-1}', qr/services: not a count/);
	bad_reset('{"rate_limit":"10"}', qr/not of the form/);
	bad_reset('{"overrides":{"nix":{}}}', qr/no service/);
	bad_reset('{"now":"x"}', qr/now/);
};

subtest 'a key can read several organizations, or none' => sub {
	$emulator->reset(organizations => 3);
	my $list = $emulator->get('/v1/organizations')->{json}{result};
	is(scalar @$list, 3, 'three organizations are listed');
	is_deeply(
		$emulator->get("/v1/organizations/$list->[2]{id}/postgres")
		  ->{json}{result},
		[], 'only the first organization has services');
	$emulator->reset(organizations => 0);
	is_deeply($emulator->get('/v1/organizations')->{json}{result}, [],
		'no organizations are listed');
	is($emulator->get($orders)->{status}, 404, 'without organizations no service is found');
};

subtest 'fields of services can be overridden' => sub {
	$emulator->reset(
		overrides => {
			orders =>
			  { state => 'creating', createdAt => undef, new => { a => 1 } },
			billing => { id => 'x-1', storageSize => 7, hostname => undef }
		});
	my ($first, $second) =
	  @{ $emulator->get($emulator->postgres)->{json}{result} };
	is($first->{state}, 'creating', 'a field is changed');
	ok(!exists $first->{createdAt}, 'a field is removed');
	is_deeply($first->{new}, { a => 1 }, 'a field is added');
	is($second->{id}, 'x-1', 'an id is changed');
	is($second->{storageSize}, 7, 'an overridden storage size is listed');
	my $single = $emulator->get($emulator->postgres('x-1'))->{json}{result};
	ok(!exists $single->{hostname}, 'a field is removed from the single service');
	is($emulator->get($orders)->{json}{result}{state},
		'creating', 'a field is changed in the single service');
};

subtest 'the clock can stand still' => sub {
	$emulator->reset(now => '2026-06-01T12:00:00.000Z');
	my $base = "$orders/slowQueryPatterns";
	my $now =
	  'from_date=2026-06-01T11:00:00.000Z&to_date=2026-06-01T12:00:00.000Z';
	my $later =
	  'from_date=2026-06-01T12:00:00.000Z&to_date=2026-06-01T13:00:00.000Z';
	cmp_ok(scalar @{ $emulator->get("$base?$now")->{json}{result} },
		'>', 0, 'a window that ends now has patterns');
	is(scalar @{ $emulator->get("$base?$later")->{json}{result} }, 0,
		'a window that begins now has none');
	my $one =
	  "$base/-4748036479882663975?db_name=sales&db_user=orders_service&db_operation=SELECT";
	my $answer = $emulator->get($one)->{json}{result};
	like($answer->{recentExecutions}[0]{timestamp},
		qr/^2026-06-01T11:/, 'executions are before now');
	$emulator->reset(now => '2026-06-01T12:00:00.000Z');
	is_deeply($emulator->get($one)->{json}{result},
		$answer, 'a reset makes the same executions');
};

# An hour, so that a busy machine does not end the window before the refusal
subtest 'requests beyond the rate limit are refused' => sub {
	$emulator->reset(rate_limit => '3/3600s', keys => { a => 'b' });
	is($emulator->get('/v1/organizations')->{status}, 200, 'a request within the limit is granted')
	  for 1 .. 3;
	my $refused = $emulator->get('/v1/organizations');
	is($refused->{status}, 429, 'a request beyond the limit is refused');
	like($refused->{json}{error}, qr/^TOO_MANY_REQUESTS: /, 'the refusal is an error of the API');
	my $reset = $refused->{headers}{'x-ratelimit-reset'};
	cmp_ok($reset, '>', 0, 'the reset is in the future');
	cmp_ok($reset, '<=', 3600, 'the reset is within the window');
	is( $emulator->get('/v1/organizations', Authorization => 'Basic YTpi')
		  ->{status},
		200,
		'another key has a limit of its own');
	$emulator->control('GET', 'info') for 1 .. 5;
	is($emulator->control('GET', 'count'), 5, 'control routes do not count');
};

subtest 'a window that ends grants again' => sub {
	$emulator->reset(rate_limit => '1/0.2s');
	my %statuses;
	for (1 .. 1000)
	{
		$statuses{ $emulator->get('/v1/organizations')->{status} }++;
		last if ($statuses{200} // 0) > 1;
	}
	cmp_ok($statuses{200}, '>', 1, 'a second request is granted after the window');
};

subtest 'a fixed window begins at a multiple of its length' => sub {
	# An hour; twice, should the hour end meanwhile
	my @answers;
	for (1 .. 2)
	{
		$emulator->reset(
			rate_limit => '2/3600s',
			rate_window => 'fixed',
			rate_headers => '2/3600s');
		@answers = map { $emulator->get('/v1/organizations') } 1 .. 3;
		last if $answers[2]{status} == 429;
	}
	is_deeply([ map { $_->{status} } @answers ], [ 200, 200, 429 ], 'the request beyond the limit is refused');
	is_deeply([ map { $_->{headers}{'x-ratelimit-remaining'} } @answers ],
		[ 1, 0, 0 ], 'the headers count down');
	is($answers[2]{headers}{'x-ratelimit-limit'}, 2, 'the headers have the limit');
	is($answers[0]{headers}{'x-ratelimit-policy'},
		'2;w=3600;comment="fixed window"', 'the headers have the policy');
	# A minute for the requests; the hour may have ended since.
	cmp_ok((time + 60 + $answers[2]{headers}{'x-ratelimit-reset'}) % 3600,
		'<=', 120, 'the reset is the end of the hour');
};

subtest 'headers of a rate limit need no limit' => sub {
	$emulator->reset;
	ok(!grep({ /ratelimit/ } keys %{ $emulator->get($orders)->{headers} }),
		'there are no headers by default');
	$emulator->reset(rate_headers => '1/3600s');
	my ($first, $second) = map { $emulator->get($orders) } 1 .. 2;
	is($first->{headers}{'x-ratelimit-remaining'}, 0, 'the headers count down');
	is($second->{status}, 200, 'nothing is refused');
	is($emulator->get('/v1/organizations', Authorization => 'Basic eDp5')
		->{headers}{'x-ratelimit-limit'}, 1, 'a 401 has them, too');
	bad_reset('{"rate_headers":"x"}', qr/not of the form/);
	bad_reset('{"rate_window":"x"}', qr/neither sliding nor fixed/);
};

subtest 'ctl calls each control route' => sub {
	is(ctl('reset', '{"services":1}'), '', 'reset prints nothing');
	$emulator->get('/v1/organizations');
	$emulator->get("$orders?x=1");
	is(ctl('count'), "2\n", 'count prints the number of requests');
	is(ctl('count', 'postgres/pg[^/]+$'), "1\n", 'count takes a path');
	is(ctl('requests'), "GET /v1/organizations 200\nGET $orders?x=1 400\n",
		'requests prints a line each');
	is(ctl('connections'), "1\n", 'connections prints their number');
	like(ctl('journal'), qr/^   "connections" : 1,$/m, 'journal prints JSON');
	like(ctl('fault', '{"status":500}'), qr/^\d+\n$/, 'fault prints an id');
	is($emulator->get('/v1/organizations')->{status}, 500, 'the fault acts');
	like(ctl('faults'), qr/"fired" : 1,/, 'faults prints how often each fired');
	is(ctl('faults-clear'), '', 'faults-clear prints nothing');
	is($emulator->get('/v1/organizations')->{status}, 200, 'the fault is gone');
	is(ctl('clear'), '', 'clear prints nothing');
	like(ctl('info'), qr/"key_id" : "demoKeyId"/, 'info has the key');
	is(ctl('count'), "0\n", 'nothing is left in the journal');
	open my $stderr, '>&', \*STDERR;
	close STDERR;
	ctl('fault', '{}');
	isnt($?, 0, 'a refusal makes ctl fail');
	$ENV{CHPG_EMULATOR_URL} = 'http://127.0.0.1:1';
	ctl('count');
	isnt($?, 0, 'no answer makes ctl fail');
	open STDERR, '>&', $stderr;
};

done_testing();
