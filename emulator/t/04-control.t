# The control routes: reset, journal and rate limit, and their command line.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Test::More;
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
	like($answer->{content}, $error, 'says why');
	return;
}

subtest 'journal' => sub {
	$emulator->reset;
	my $before = int time;
	$emulator->get('/v1/organizations?x=%C3%A9&y=1&y=2');
	my $after = 1 + int time;
	$emulator->get("$orders", Authorization => 'Basic eDp5', Accept => 'a/b');
	my $journal = $emulator->control('GET', 'journal');
	my ($first, $second) = @{ $journal->{requests} };
	is($journal->{connections}, 1, 'one connection');
	is($first->{n}, 1, 'number');
	ok($before <= $first->{at} && $first->{at} <= $after, 'time');
	is($first->{method}, 'GET', 'method');
	is($first->{path}, '/v1/organizations', 'path');
	is_deeply($first->{query}, { x => "\x{e9}", y => [ 1, 2 ] }, 'query');
	is($first->{raw_query}, 'x=%C3%A9&y=1&y=2', 'raw query');
	is($first->{status}, 400, 'status');
	is($first->{headers}{authorization}, 'Basic ok', 'the right key');
	is($second->{headers}{authorization}, 'Basic wrong', 'a wrong key');
	is($second->{headers}{accept}, 'a/b', 'other headers');
	is($second->{connection}, $first->{connection}, 'connection');
	unlike($emulator->control('GET', 'requests'), qr/eDp5/, 'no key');
	TestEmulator::drain(
		$emulator->socket(
			"/v1/organizations HTTP/1.1\r\nConnection: close\r\nX: "));
	is($emulator->control('GET', 'connections'), 2, 'two connections');
	$emulator->control('DELETE', 'journal');
	is($emulator->control('GET', 'count'), 0, 'cleared');
};

subtest 'journal with bodies' => sub {
	$emulator->reset(record_bodies => 1);
	my $answer = $emulator->{http}->request(
		'PATCH',
		"$emulator->{url}$orders",
		{
			headers => { Authorization => $TestEmulator::AUTHORIZATION, 'Content-Type' => 'application/json' },
			content => qq({"tags": [],  "name":"\xc3\xa9"})
		});
	my ($entry) = @{ $emulator->control('GET', 'journal')->{requests} };
	is($entry->{request_text}, qq({"tags": [],  "name":"\x{e9}"}), 'of the request, as sent');
	utf8::encode(my $response = $entry->{response_text});
	is($response, $answer->{content}, 'of the response');
	is($entry->{response_type}, $answer->{headers}{'content-type'}, 'and its type');

	$emulator->control('DELETE', 'journal');
	$emulator->get($orders);
	ok(exists $emulator->control('GET', 'journal')->{requests}[0]{response_text}, 'clearing does not end it');
	$emulator->reset;
	$emulator->get($orders);
	ok(!exists $emulator->control('GET', 'journal')->{requests}[0]{response_text}, 'a reset does');
};

subtest 'reset' => sub {
	my $info = $emulator->reset(
		services => 2,
		patterns => 3,
		key_id => 'a',
		key_secret => 'b');
	is(scalar @{ $info->{services} }, 2, 'services');
	is($info->{key_id}, 'a', 'key');
	is($emulator->get($orders)->{status}, 401, 'the old key is refused');
	is($emulator->get($orders, Authorization => 'Basic YTpi')->{status},
		200, 'the new one works');
	$emulator->reset(keys => { a => 'b' });
	is($emulator->get($orders)->{status}, 200,
		'back to the key of the start');
	is($emulator->get($orders, Authorization => 'Basic YTpi')->{status},
		200, 'a second key');
	bad_reset('{"nix":1}', qr/no \\"nix\\"; it has/);
	bad_reset('[]', qr/object/);
	bad_reset('nonsense', qr/object/);
	bad_reset('{"services":-1}', qr/services: not a count/);
	bad_reset('{"rate_limit":"10"}', qr/not of the form/);
	bad_reset('{"overrides":{"nix":{}}}', qr/no service/);
	bad_reset('{"now":"x"}', qr/now/);
};

subtest 'organizations' => sub {
	$emulator->reset(organizations => 3);
	my $list = $emulator->get('/v1/organizations')->{json}{result};
	is(scalar @$list, 3, 'three');
	is_deeply(
		$emulator->get("/v1/organizations/$list->[2]{id}/postgres")
		  ->{json}{result},
		[], 'others have no services');
	$emulator->reset(organizations => 0);
	is_deeply($emulator->get('/v1/organizations')->{json}{result}, [],
		'none');
	is($emulator->get($orders)->{status}, 404, 'and no services');
};

subtest 'overrides' => sub {
	$emulator->reset(
		overrides => {
			orders =>
			  { state => 'creating', createdAt => undef, new => { a => 1 } },
			billing => { id => 'x-1', storageSize => 7, hostname => undef }
		});
	my ($first, $second) =
	  @{ $emulator->get($emulator->postgres)->{json}{result} };
	is($first->{state}, 'creating', 'a field changed');
	ok(!exists $first->{createdAt}, 'a field removed');
	is_deeply($first->{new}, { a => 1 }, 'a field added');
	is($second->{id}, 'x-1', 'id changed');
	is($second->{storageSize}, 7, 'an overridden storage size is listed');
	my $single = $emulator->get($emulator->postgres('x-1'))->{json}{result};
	ok(!exists $single->{hostname}, 'removed from the single service');
	is($emulator->get($orders)->{json}{result}{state},
		'creating', 'changed there, too');
};

subtest 'clock' => sub {
	$emulator->reset(now => '2026-06-01T12:00:00.000Z');
	my $base = "$orders/slowQueryPatterns";
	my $now =
	  'from_date=2026-06-01T11:00:00.000Z&to_date=2026-06-01T12:00:00.000Z';
	my $later =
	  'from_date=2026-06-01T12:00:00.000Z&to_date=2026-06-01T13:00:00.000Z';
	cmp_ok(scalar @{ $emulator->get("$base?$now")->{json}{result} },
		'>', 0, 'now');
	is(scalar @{ $emulator->get("$base?$later")->{json}{result} }, 0,
		'later');
	my $one =
	  "$base/-4748036479882663975?db_name=sales&db_user=orders_service&db_operation=SELECT";
	my $answer = $emulator->get($one)->{json}{result};
	like($answer->{recentExecutions}[0]{timestamp},
		qr/^2026-06-01T11:/, 'executions before now');
	$emulator->reset(now => '2026-06-01T12:00:00.000Z');
	is_deeply($emulator->get($one)->{json}{result},
		$answer, 'and always the same');
};

# An hour, so that a busy machine does not end the window before the refusal
subtest 'rate limit' => sub {
	$emulator->reset(rate_limit => '3/3600s', keys => { a => 'b' });
	is($emulator->get('/v1/organizations')->{status}, 200, 'granted')
	  for 1 .. 3;
	my $refused = $emulator->get('/v1/organizations');
	is($refused->{status}, 429, 'refused');
	like($refused->{json}{error}, qr/^TOO_MANY_REQUESTS: /, 'error');
	my $reset = $refused->{headers}{'x-ratelimit-reset'};
	cmp_ok($reset, '>', 0, 'seconds until a slot is free');
	cmp_ok($reset, '<=', 3600, 'which are no more than the window has');
	is( $emulator->get('/v1/organizations', Authorization => 'Basic YTpi')
		  ->{status},
		200,
		'another key');
	$emulator->control('GET', 'info') for 1 .. 5;
	is($emulator->control('GET', 'count'), 5, 'control routes do not count');
};

subtest 'rate limit of a window that ends' => sub {
	$emulator->reset(rate_limit => '1/0.2s');
	my %statuses;
	for (1 .. 1000)
	{
		$statuses{ $emulator->get('/v1/organizations')->{status} }++;
		last if ($statuses{200} // 0) > 1;
	}
	cmp_ok($statuses{200}, '>', 1, 'granted again');
};

subtest 'rate limit of a fixed window' => sub {
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
	is_deeply([ map { $_->{status} } @answers ], [ 200, 200, 429 ], 'refused');
	is_deeply([ map { $_->{headers}{'x-ratelimit-remaining'} } @answers ],
		[ 1, 0, 0 ], 'remaining');
	is($answers[2]{headers}{'x-ratelimit-limit'}, 2, 'limit');
	is($answers[0]{headers}{'x-ratelimit-policy'},
		'2;w=3600;comment="fixed window"', 'policy');
	cmp_ok(
		abs(3600 - time % 3600 - $answers[2]{headers}{'x-ratelimit-reset'}),
		'<', 60, 'the reset is the end of the hour');
};

subtest 'headers of a rate limit' => sub {
	$emulator->reset;
	ok(!grep({ /ratelimit/ } keys %{ $emulator->get($orders)->{headers} }),
		'none by default');
	$emulator->reset(rate_headers => '1/3600s');
	my ($first, $second) = map { $emulator->get($orders) } 1 .. 2;
	is($first->{headers}{'x-ratelimit-remaining'}, 0, 'headers alone');
	is($second->{status}, 200, 'refuse nothing');
	is($emulator->get('/v1/organizations', Authorization => 'Basic eDp5')
		->{headers}{'x-ratelimit-limit'}, 1, 'with a 401, too');
	bad_reset('{"rate_headers":"x"}', qr/not of the form/);
	bad_reset('{"rate_window":"x"}', qr/neither sliding nor fixed/);
};

subtest 'ctl' => sub {
	is(ctl('reset', '{"services":1}'), '', 'reset');
	$emulator->get('/v1/organizations');
	$emulator->get("$orders?x=1");
	is(ctl('count'), "2\n", 'count');
	is(ctl('count', 'postgres/pg[^/]+$'), "1\n", 'count of a path');
	is(ctl('requests'), "GET /v1/organizations 200\nGET $orders?x=1 400\n",
		'requests');
	is(ctl('connections'), "1\n", 'connections');
	like(ctl('journal'), qr/^   "connections" : 1,$/m, 'journal');
	like(ctl('fault', '{"status":500}'), qr/^\d+\n$/, 'fault');
	is($emulator->get('/v1/organizations')->{status}, 500, 'which acts');
	like(ctl('faults'), qr/"fired" : 1,/, 'faults');
	is(ctl('faults-clear'), '', 'faults-clear');
	is($emulator->get('/v1/organizations')->{status}, 200, 'and is gone');
	is(ctl('clear'), '', 'clear');
	like(ctl('info'), qr/"key_id" : "demoKeyId"/, 'info');
	is(ctl('count'), "0\n", 'nothing left');
	open my $stderr, '>&', \*STDERR;
	close STDERR;
	ctl('fault', '{}');
	isnt($?, 0, 'an error fails');
	$ENV{CHPG_EMULATOR_URL} = 'http://127.0.0.1:1';
	ctl('count');
	isnt($?, 0, 'no answer fails');
	open STDERR, '>&', $stderr;
};

done_testing();
