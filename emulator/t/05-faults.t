# Every fault, as a client sees it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Select;
use IO::Uncompress::Gunzip qw(gunzip);
use IO::Uncompress::Inflate qw(inflate);
use JSON::PP               qw(decode_json);
use MIME::Base64           qw(encode_base64);
use Test::More;
use Time::HiRes qw(time);
use TestEmulator;

my $emulator = start_emulator();
my $organizations = '/v1/organizations';
my $list = $emulator->postgres;

# The raw answer on a connection of its own: (head, body, error)
sub raw
{
	my ($path) = @_;
	my ($bytes, $error) = TestEmulator::drain($emulator->socket($path));
	my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
	return ($head // '', $body // '', $error);
}

sub bad_fault
{
	my ($body, $error) = @_;
	my $answer = $emulator->{http}
	  ->post("$emulator->{url}/_emulator/faults", { content => $body });
	is($answer->{status}, 400, "fault $body");
	like($answer->{content}, $error, 'says why');
	return;
}

subtest 'which requests' => sub {
	$emulator->fault(
		path => '/postgres$',
		times => 2,
		skip => 1,
		status => 503);
	is($emulator->get($organizations)->{status}, 200, 'another path');
	is_deeply(
		[ map { $emulator->get($list)->{status} } 1 .. 4 ],
		[ 200, 503, 503, 200 ],
		'skip and times');
	$emulator->fault(method => 'POST', status => 503);
	is($emulator->get($list)->{status}, 200, 'another method');
	is($emulator->request('POST', $list)->{status}, 503, 'the method');
	my $id = $emulator->fault(query => 'offset=20(&|$)', status => 503);
	is($emulator->get("$list?offset=20")->{status}, 503, 'the query');
	is($emulator->get("$list?offset=200")->{status}, 400, 'another query');
	my $journal = $emulator->control('GET', 'journal')->{requests};
	is($journal->[-2]{fault}, $id, 'in the journal');
	is($journal->[-1]{fault}, undef, 'no fault in the journal');
};

subtest 'answers' => sub {
	$emulator->fault(
		status => 502,
		body => "<html>\x{fc}</html>",
		content_type => 'text/html',
		headers => { 'Retry-After' => '7' });
	my $answer = $emulator->get($list);
	is($answer->{status}, 502, 'status');
	is($answer->{content}, "<html>\xc3\xbc</html>", 'body');
	is($answer->{headers}{'content-type'}, 'text/html', 'content type');
	is($answer->{headers}{'retry-after'}, '7', 'header');

	$emulator->fault(status => 403);
	like(
		$emulator->get($list)->{json}{error},
		qr/^FORBIDDEN: /,
		'an error of the API');
	$emulator->fault(body => '');
	is($emulator->get($list)->{content}, '', 'empty body');
	$emulator->fault(body_base64 => encode_base64("\0\xff", ''));
	is($emulator->get($list)->{content}, "\0\xff", 'bytes');
	$emulator->fault(headers => { 'X-Y' => 'z' });
	is($emulator->get($list)->{headers}{'x-y'},
		'z', 'a header on the real answer');
	$emulator->fault(garbage => \1);
	is($emulator->get($list)->{json}, undef, 'garbage');
	$emulator->fault(redirect => 'http://127.0.0.1:1/x');
	$answer = $emulator->get($list);
	is( "$answer->{status} $answer->{headers}{location}",
		'302 http://127.0.0.1:1/x',
		'redirect');
};

subtest 'patch' => sub {
	$emulator->fault(
		patch => {
			'result.0.name' => undef,
			'result.0.state' => { '$delete' => 1 },
			'result.1.tags' => 'x',
			'result.2' => 17,
			'result.5' => { '$delete' => 1 },
			'result.9.x' => 1,
			'new' => [1]
		});
	my $answer = $emulator->get($list)->{json};
	is(scalar @{ $answer->{result} }, 5, 'an element deleted');
	ok( exists $answer->{result}[0]{name}
		  && !defined $answer->{result}[0]{name},
		'null');
	ok(!exists $answer->{result}[0]{state}, 'a field deleted');
	is($answer->{result}[1]{tags}, 'x', 'a field retyped');
	is($answer->{result}[2], 17, 'a row replaced');
	is_deeply($answer->{new}, [1], 'a field added');
};

subtest 'time' => sub {
	my $before = time;
	$emulator->fault(latency_ms => 200);
	$emulator->get($list);
	cmp_ok(time - $before, '>=', 0.2, 'latency');
	$emulator->fault(body => 'x' x 20, drip_ms => 10);
	$before = time;
	is($emulator->get($list)->{content}, 'x' x 20, 'drip');
	# Nothing is waited for after the last.
	cmp_ok(time - $before, '>=', 19 * 0.01, 'takes its time');
	is($emulator->get($list)->{content}, 'x' x 20,
		'and keeps the connection');
};

subtest 'compression' => sub {
	$emulator->fault(encoding => 'gzip');
	my $answer = $emulator->get($list);
	is($answer->{headers}{'content-encoding'}, 'gzip', 'header');
	gunzip(\$answer->{content} => \my $text);
	is(scalar @{ decode_json($text)->{result} }, 6, 'body');

	$emulator->fault(encoding => 'deflate');
	$answer = $emulator->get($list);
	is($answer->{headers}{'content-encoding'}, 'deflate', 'deflate: header');
	inflate(\$answer->{content} => \$text);
	is(scalar @{ decode_json($text)->{result} }, 6, 'deflate: body');
};

subtest 'cut short' => sub {
	$emulator->fault(body => "a 1\nb 2\n", cut => 5);
	my $answer = $emulator->get($list);
	is($answer->{content}, "a 1\nb", 'cut');
	is($answer->{headers}{'content-length'}, 5, 'with the length of what is left');

	$emulator->fault(encoding => 'gzip', cut => 40);
	$answer = $emulator->get($list);
	is(length $answer->{content}, 40, 'cut after compression');
	is($answer->{headers}{'content-length'}, 40, 'with the length of that');

	$emulator->fault(body => 'abc', close_delimited => \1);
	my ($head, $body, $error) = raw($list);
	unlike($head, qr/^(?:content-length|transfer-encoding)/im, 'no length');
	like($head, qr/^connection: close\r/im, 'the connection is the end');
	is("$body|$error", 'abc|', 'closed after the body');
	$emulator->fault(body => 'abc', close_delimited => \1, truncate => 2);
	($head, $body, $error) = raw($list);
	is("$body|$error", 'ab|', 'closed within the body');

	$emulator->fault(close_in_head => \1);
	($head, $body, $error) = raw($list);
	like($head, qr{\AHTTP/1\.1 200 OK\r\n.*\r\nContent-Le\z}s, 'amid the headers');
	is("$body|$error", '|', 'closed there');
};

subtest 'oversize' => sub {
	for my $size (4096, 65536, 1_000_000)
	{
		$emulator->fault(oversize_bytes => $size);
		my $answer = $emulator->get($list);
		is(length $answer->{content}, $size, "$size bytes");
		cmp_ok(scalar @{ $answer->{json}{result} }, '>', 5, 'of JSON');
	}
	$emulator->fault(oversize_bytes => 50_000, chunked => \1);
	my $answer = $emulator->get($list);
	ok(!exists $answer->{headers}{'content-length'},
		'without content length');
	is(length $answer->{content}, 50_000, 'chunked');
	$emulator->fault(oversize_bytes => 5_000_000, encoding => 'gzip');
	$answer = $emulator->get($list);
	cmp_ok(length $answer->{content}, '<', 50_000, 'a bomb is small');
	gunzip(\$answer->{content} => \my $text);
	is(length $text, 5_000_000, 'and bursts');
};

subtest 'broken connections' => sub {
	$emulator->fault(truncate => 100);
	my ($head, $body, $error) = raw($list);
	is(length $body, 100, 'truncated');
	my ($length) = $head =~ /content-length: (\d+)/i;
	cmp_ok($length, '>', 1000, 'with full content length');
	is($error, '', 'closed');

	$emulator->fault(truncate => 0);
	($head, $body, $error) = raw($list);
	like(
		$head,
		qr/^HTTP.*content-length: $length/is,
		'truncated after the head');
	is($body, '', 'no body');

	$emulator->fault(reset => 'before');
	($head, $body, $error) = raw($list);
	is($head, '', 'nothing before a reset');
	like($error, qr/reset/, 'connection reset');

	$emulator->fault(reset => 'mid');
	($head, $body, $error) = raw($list);
	is(length $body, int($length / 2), 'half');
	like($error, qr/reset/, 'then a reset');

	$emulator->fault(
		oversize_bytes => 10_000_000,
		encoding => 'gzip',
		truncate => 500);
	($head, $body, $error) = raw($list);
	cmp_ok(length $body, '>=', 500, 'a truncated bomb');
	cmp_ok(length $body, '<', 600, 'ends early');

	$emulator->fault(close => \1);
	($head, $body, $error) = raw($list);
	is("$head$error", '', 'closed without answer');
};

subtest 'hang' => sub {
	$emulator->control('DELETE', 'journal');
	$emulator->fault(hang => \1);
	my $socket = $emulator->socket($list);
	ok(!IO::Select->new($socket)->can_read(0.3), 'no answer');
	my ($entry) = @{ $emulator->control('GET', 'journal')->{requests} };
	is($entry->{path}, $list, 'but in the journal');
	is($entry->{status}, undef, 'without status');
	$emulator->reset;
	is($emulator->get($list)->{status}, 200, 'reset clears faults');
};

bad_fault('{}', qr/action/);
bad_fault('[]', qr/object/);
bad_fault('x', qr/object/);
bad_fault('{"path":"("}', qr/path/);
bad_fault('{"pth":"x","hang":true}', qr/no \\"pth\\"; it has/);
bad_fault('{"hang":true,"close":true}', qr/exclude/);
bad_fault('{"status":100}', qr/status/);
bad_fault('{"oversize_bytes":1}', qr/at least/);
bad_fault('{"encoding":"br"}', qr/gzip/);
bad_fault('{"reset":"after"}', qr/before/);
bad_fault('{"cut":5,"oversize_bytes":5000}', qr/exclude/);
bad_fault('{"close_delimited":true,"chunked":true}', qr/exclude/);
bad_fault('{"patch":{"a":1},"body":"x"}', qr/real answer/);
bad_fault('{"latency_ms":"x"}', qr/latency_ms/);

done_testing();
