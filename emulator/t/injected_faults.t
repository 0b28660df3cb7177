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
	is($answer->{status}, 400, "the fault $body is refused");
	like($answer->{content}, $error, 'the refusal says why');
	return;
}

subtest 'a fault meets the requests that it describes' => sub {
	$emulator->fault(
		path => '/postgres$',
		times => 2,
		skip => 1,
		status => 503);
	is($emulator->get($organizations)->{status}, 200, 'another path is not met');
	is_deeply(
		[ map { $emulator->get($list)->{status} } 1 .. 4 ],
		[ 200, 503, 503, 200 ],
		'skip and times count the requests that match');
	$emulator->fault(method => 'POST', status => 503);
	is($emulator->get($list)->{status}, 200, 'another method is not met');
	is($emulator->request('POST', $list)->{status}, 503, 'the method is met');
	my $id = $emulator->fault(query => 'offset=20(&|$)', status => 503);
	is($emulator->get("$list?offset=20")->{status}, 503, 'the query is met');
	is($emulator->get("$list?offset=200")->{status}, 400, 'another query is not met');
	my $journal = $emulator->control('GET', 'journal')->{requests};
	is($journal->[-2]{fault}, $id, 'the journal has the fault');
	is($journal->[-1]{fault}, undef, 'the journal has none where none was met');
};

subtest 'a fault changes parts of the response' => sub {
	$emulator->fault(
		status => 502,
		body => "<html>\x{fc}</html>",
		content_type => 'text/html',
		headers => { 'Retry-After' => '7' });
	my $answer = $emulator->get($list);
	is($answer->{status}, 502, 'the status is changed');
	is($answer->{content}, "<html>\xc3\xbc</html>", 'the body is changed');
	is($answer->{headers}{'content-type'}, 'text/html', 'the content type is changed');
	is($answer->{headers}{'retry-after'}, '7', 'a header is added');

	$emulator->fault(status => 403);
	like(
		$emulator->get($list)->{json}{error},
		qr/^FORBIDDEN: /,
		'a status alone is an error of the API');
	$emulator->fault(body => '');
	is($emulator->get($list)->{content}, '', 'a body may be empty');
	$emulator->fault(body_base64 => encode_base64("\0\xff", ''));
	is($emulator->get($list)->{content}, "\0\xff", 'a body may be any bytes');
	$emulator->fault(headers => { 'X-Y' => 'z' });
	is($emulator->get($list)->{headers}{'x-y'},
		'z', 'a header is added to the real response');
	$emulator->fault(garbage => \1);
	is($emulator->get($list)->{json}, undef, 'garbage is no JSON');
	$emulator->fault(redirect => 'http://127.0.0.1:1/x');
	$answer = $emulator->get($list);
	is( "$answer->{status} $answer->{headers}{location}",
		'302 http://127.0.0.1:1/x',
		'a redirect has its location');
};

subtest 'a patch changes fields of the real response' => sub {
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
	is(scalar @{ $answer->{result} }, 5, 'an element is deleted');
	ok( exists $answer->{result}[0]{name}
		  && !defined $answer->{result}[0]{name},
		'a field becomes null');
	ok(!exists $answer->{result}[0]{state}, 'a field is deleted');
	is($answer->{result}[1]{tags}, 'x', 'a field has another type');
	is($answer->{result}[2], 17, 'a row is replaced');
	is_deeply($answer->{new}, [1], 'a field is added');
};

subtest 'a response can be late or slow' => sub {
	my $before = time;
	$emulator->fault(latency_ms => 200);
	$emulator->get($list);
	cmp_ok(time - $before, '>=', 0.2, 'latency delays the response');
	$emulator->fault(body => 'x' x 20, drip_ms => 10);
	$before = time;
	is($emulator->get($list)->{content}, 'x' x 20, 'a dripped body is complete');
	# Nothing is waited for after the last.
	cmp_ok(time - $before, '>=', 19 * 0.01, 'a dripped body takes its time');
	is($emulator->get($list)->{content}, 'x' x 20,
		'a dripped body keeps the connection');
};

subtest 'a response can be compressed' => sub {
	$emulator->fault(encoding => 'gzip');
	my $answer = $emulator->get($list);
	is($answer->{headers}{'content-encoding'}, 'gzip', 'gzip: the header is set');
	gunzip(\$answer->{content} => \my $text);
	is(scalar @{ decode_json($text)->{result} }, 6, 'gzip: the body is compressed');

	$emulator->fault(encoding => 'deflate');
	$answer = $emulator->get($list);
	is($answer->{headers}{'content-encoding'}, 'deflate', 'deflate: the header is set');
	inflate(\$answer->{content} => \$text);
	is(scalar @{ decode_json($text)->{result} }, 6, 'deflate: the body is compressed');
};

subtest 'a response can be cut short' => sub {
	$emulator->fault(body => "a 1\nb 2\n", cut => 5);
	my $answer = $emulator->get($list);
	is($answer->{content}, "a 1\nb", 'only the first bytes are sent');
	is($answer->{headers}{'content-length'}, 5, 'the length is that of what is left');

	$emulator->fault(encoding => 'gzip', cut => 40);
	$answer = $emulator->get($list);
	is(length $answer->{content}, 40, 'the cut comes after compression');
	is($answer->{headers}{'content-length'}, 40, 'the length is that of the compressed part');

	$emulator->fault(body => 'abc', close_delimited => \1);
	my ($head, $body, $error) = raw($list);
	unlike($head, qr/^(?:content-length|transfer-encoding)/im, 'a delimited body has no length');
	like($head, qr/^connection: close\r/im, 'the end of the connection is announced as its end');
	is("$body|$error", 'abc|', 'the connection is closed after the body');
	$emulator->fault(body => 'abc', close_delimited => \1, truncate => 2);
	($head, $body, $error) = raw($list);
	is("$body|$error", 'ab|', 'the connection is closed within the body');

	$emulator->fault(close_in_head => \1);
	($head, $body, $error) = raw($list);
	like($head, qr{\AHTTP/1\.1 200 OK\r\n.*\r\nContent-Le\z}s, 'the headers end in the middle of a name');
	is("$body|$error", '|', 'the connection is closed there');
};

subtest 'a response can be of any size' => sub {
	for my $size (4096, 65536, 1_000_000)
	{
		$emulator->fault(oversize_bytes => $size);
		my $answer = $emulator->get($list);
		is(length $answer->{content}, $size, "a response has $size bytes");
		cmp_ok(scalar @{ $answer->{json}{result} }, '>', 5, 'an oversized response is valid JSON');
	}
	$emulator->fault(oversize_bytes => 50_000, chunked => \1);
	my $answer = $emulator->get($list);
	ok(!exists $answer->{headers}{'content-length'},
		'chunks have no content length');
	is(length $answer->{content}, 50_000, 'chunks add up to the size');
	$emulator->fault(oversize_bytes => 5_000_000, encoding => 'gzip');
	$answer = $emulator->get($list);
	cmp_ok(length $answer->{content}, '<', 50_000, 'a compressed bomb is small');
	gunzip(\$answer->{content} => \my $text);
	is(length $text, 5_000_000, 'a compressed bomb bursts');
};

subtest 'a connection can break at any time' => sub {
	$emulator->fault(truncate => 100);
	my ($head, $body, $error) = raw($list);
	is(length $body, 100, 'a truncated body ends early');
	my ($length) = $head =~ /content-length: (\d+)/i;
	cmp_ok($length, '>', 1000, 'a truncated body has the whole length announced');
	is($error, '', 'a truncated body ends with a close');

	$emulator->fault(truncate => 0);
	($head, $body, $error) = raw($list);
	like(
		$head,
		qr/^HTTP.*content-length: $length/is,
		'a response truncated to nothing has a head');
	is($body, '', 'a response truncated to nothing has no body');

	$emulator->fault(reset => 'before');
	($head, $body, $error) = raw($list);
	is($head, '', 'nothing is sent before a reset');
	like($error, qr/reset/, 'the connection is reset before the response');

	$emulator->fault(reset => 'mid');
	($head, $body, $error) = raw($list);
	is(length $body, int($length / 2), 'half of the body is sent before a reset');
	like($error, qr/reset/, 'the connection is reset within the body');

	$emulator->fault(
		oversize_bytes => 10_000_000,
		encoding => 'gzip',
		truncate => 500);
	($head, $body, $error) = raw($list);
	cmp_ok(length $body, '>=', 500, 'a truncated bomb is sent');
	cmp_ok(length $body, '<', 600, 'a truncated bomb ends early');

	$emulator->fault(close => \1);
	($head, $body, $error) = raw($list);
	is("$head$error", '', 'a connection can be closed without a response');
};

subtest 'a request may never be answered' => sub {
	$emulator->control('DELETE', 'journal');
	$emulator->fault(hang => \1);
	my $socket = $emulator->socket($list);
	ok(!IO::Select->new($socket)->can_read(0.3), 'no response comes');
	my ($entry) = @{ $emulator->control('GET', 'journal')->{requests} };
	is($entry->{path}, $list, 'the journal has the request');
	is($entry->{status}, undef, 'the journal has no status of it');
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
