# The emulator: its state, and the path of a request from arrival to response.
package Emulator;

use strict;
use warnings;

use Mojo::IOLoop;
use Mojo::JSON qw(decode_json encode_json);
use Emulator::Access;
use Emulator::Api;
use Emulator::Api::Backups;
use Emulator::Api::Config;
use Emulator::Api::Insights;
use Emulator::Api::Lifecycle;
use Emulator::Api::Monitoring;
use Emulator::Api::Notifications;
use Emulator::Api::Organizations;
use Emulator::Api::PrivateEndpoint;
use Emulator::Api::Services;
use Emulator::Backups;
use Emulator::Clock qw(parse_time);
use Emulator::Control;
use Emulator::Cursors;
use Emulator::Faults;
use Emulator::Fleet;
use Emulator::Journal;
use Emulator::Lifecycle;
use Emulator::Limiter;
use Emulator::Logs;
use Emulator::PrivateEndpoint;
use Emulator::Quirks;
use Emulator::Random;
use Emulator::Wire;

# Options of a reset, with the defaults for those that neither the reset nor the
# command line sets.
my %DEFAULTS = (
	fleet => 'test',
	services => undef,
	patterns => 60,
	seed => 1,
	organizations => 1,
	rate_limit => undef,
	rate_window => 'sliding',
	rate_headers => undef,
	key_id => 'demoKeyId',
	key_secret => 'demoKeySecret',
	keys => { map { $_ => 'demoKeySecret' } qw(secondKeyId thirdKeyId) },
	now => undef,
	transition_polls => 2,
	apply_polls => 2,
	backup_polls => 0,
	list_lag_polls => 0,
	read_lag_polls => 0,
	command_lag => 0,
	backups => 7,
	replica_backups => 'none',
	bad_limit => 'refused',
	earliest_restore_time => 'present',
	not_running => 'answered',
	prometheus_of_all => 'answered',
	switchover => 'replaces',
	switchover_response => 'acknowledged',
	empty_section => 'accepted',
	service_names => 'documented',
	max_services => undef,
	whoami => 'apiKey',
	notifications => 'list',
	notification_count => 5,
	log_lines_per_hour => 60,
	record_bodies => 0,
	(map { $_ => 0 } keys %Emulator::Quirks::QUIRKS),
	(map { $_ => $Emulator::Access::OPTIONS{$_}[0] } keys %Emulator::Access::OPTIONS),
	%Emulator::PrivateEndpoint::NUMBERS,
	(map { $_ => $Emulator::PrivateEndpoint::OPTIONS{$_}[0] } keys %Emulator::PrivateEndpoint::OPTIONS),
	overrides => {},
	pattern_overrides => {},
	slower => {});

# Options that have one of these values
my %CHOICES = (
	%Emulator::Access::OPTIONS,
	%Emulator::PrivateEndpoint::OPTIONS,
	fleet => \@Emulator::Fleet::NAMES,
	whoami => [qw(apiKey user service unknown)],
	notifications => [qw(list items unknown)],
	replica_backups => [qw(none refused)],
	bad_limit => [qw(refused clamped)],
	earliest_restore_time => [qw(present null absent)],
	not_running => [qw(answered refused unavailable)],
	prometheus_of_all => [qw(answered early_access not_set_up)],
	switchover => [qw(replaces ignored)],
	switchover_response => [qw(acknowledged service)],
	empty_section => [qw(accepted refused)],
	service_names => [qw(documented any)]);

my $GARBAGE_BYTES = 2048;

sub new
{
	my ($class, %options) = @_;
	my $self = bless {
		options => { %DEFAULTS, %options },
		journal => Emulator::Journal->new,
		faults => Emulator::Faults->new
	}, $class;
	$self->reset({});
	return $self;
}

# Starts anew with the options of the start, changed by the given ones.  Dies of
# a text if they are invalid, and then changes nothing.
sub reset
{
	my ($self, $changes) = @_;
	my %options = (%{ $self->{options} }, _checked($changes));
	my $limit = $options{rate_limit} // $options{rate_headers};
	my $limiter =
	  defined $limit
	  ? Emulator::Limiter->new($limit, $options{rate_window},
		defined $options{rate_limit})
	  : undef;
	my $clock = Emulator::Clock->new(_epoch($options{now}));
	my $access = Emulator::Access->new(
		map { $_ => $options{$_} } keys %Emulator::Access::OPTIONS);
	my $fleet = Emulator::Fleet->new(
		access => $access,
		base => $clock->now,
		map { $_ => $options{$_} }
		  qw(fleet seed services patterns organizations overrides
		  pattern_overrides slower));

	my $lifecycle = Emulator::Lifecycle->new(
		fleet => $fleet,
		clock => $clock,
		map { $_ => $options{$_} }
		  qw(seed transition_polls apply_polls backup_polls list_lag_polls
		  read_lag_polls command_lag max_services switchover));
	$self->{backups} = Emulator::Backups->new($clock,
		map { $options{$_} } qw(backups earliest_restore_time));
	$self->{private_endpoints} = Emulator::PrivateEndpoint->new(
		clock => $clock,
		map { $_ => $options{$_} } 'seed', keys %Emulator::PrivateEndpoint::NUMBERS,
		keys %Emulator::PrivateEndpoint::OPTIONS);
	$self->{cursors} = Emulator::Cursors->new($options{seed});
	$self->{$_} = $options{$_}
	  for qw(replica_backups bad_limit switchover_response empty_section
	  not_running prometheus_of_all service_names);

	my $logs = Emulator::Logs->new(
		seed => $options{seed},
		lines_per_hour => $options{log_lines_per_hour});

	$self->{rate_headers} = defined $options{rate_headers};
	@$self{qw(limiter clock access fleet lifecycle logs)} =
	  ($limiter, $clock, $access, $fleet, $lifecycle, $logs);
	$self->{keys} =
	  { %{ $options{keys} }, $options{key_id} => $options{key_secret} };
	$self->{key_id} = $options{key_id};
	$self->{$_} = $options{$_}
	  for qw(whoami notifications notification_count);
	$self->{quirks} =
	  { map { $_ => $options{$_} } keys %Emulator::Quirks::QUIRKS };
	$self->{faults}->clear;
	$self->{journal}->clear(!!$options{record_bodies});
	return;
}

sub logs { my ($self) = @_; return $self->{logs} }

# Answers the request of a transaction, at once or after a fault's latency.
sub handle
{
	my ($self, $tx) = @_;
	my $request = _request($tx);
	$self->{lifecycle}->begin_commands;
	return Emulator::Wire::send_whole($tx,
		Emulator::Control::answer($self, $request))
	  if $request->{path} =~ m{\A/_emulator(?:/|\z)};

	$request->{headers}{authorization} =
	  'Basic ' . Emulator::Api::credentials($self, $request)
	  if defined $request->{authorization};
	my $entry = $self->{journal}->arrived($request);
	my $refusal = $self->_count($request);
	return $self->_send($tx, $entry, $request, $refusal) if $refusal;

	my $fault = $self->{faults}->meet($request)
	  or return $self->_send($tx, $entry, $request,
		Emulator::Api::answer($self, $request));
	$entry->{fault} = $fault->{id};
	# The operation is carried out even if its response is lost.
	$request->{answer} = Emulator::Api::answer($self, $request)
	  if $fault->{carry_out};
	my $serve = sub { $self->_serve_faulty($tx, $entry, $request, $fault) };
	my $latency = $fault->{latency_ms} // 0;
	Mojo::IOLoop->timer($latency / 1000 => $serve);
	return;
}

sub _send
{
	my ($self, $tx, $entry, $request, $answer) = @_;
	$self->{journal}->answered($entry, $answer);
	$answer->{headers} = { %{ $request->{rate_headers} }, %{ $answer->{headers} // {} } };
	Emulator::Wire::send_whole($tx, $answer);
	return;
}

sub _serve_faulty
{
	my ($self, $tx, $entry, $request, $fault) = @_;
	# A client that has disconnected meanwhile has no operation carried out.
	return if $fault->{hang} || !Mojo::IOLoop->stream($tx->connection);
	return Emulator::Wire::hang_up($tx) if $fault->{close};
	return Emulator::Wire::reset_connection($tx)
	  if ($fault->{reset} // '') eq 'before';
	my $answer = $self->_faulty_answer($request, $fault);
	$self->{journal}->answered($entry, $answer);
	Emulator::Wire::send_faulty($tx, $answer, $fault);
	return;
}

sub _faulty_answer
{
	my ($self, $request, $fault) = @_;
	my $answer =
		$fault->{redirect} ? _redirection($fault->{redirect})
	  : $fault->{garbage}  ? { status => 200, body => _garbage() }
	  : $fault->{oversize_bytes}
	  ? { status => 200, body => $self->_some_row($request) }
	  : defined $fault->{body} ? { status => 200, body => $fault->{body} }
	  : $fault->{status} && !$fault->{patch}
	  ? Emulator::Api::failure($fault->{status}, 'injected fault')
	  : $self->_real_answer($request);

	$answer->{status} = $fault->{status} if $fault->{status};
	$answer->{content_type} = $fault->{content_type}
	  if $fault->{content_type};
	$answer->{headers} =
	  { %{ $request->{rate_headers} }, %{ $answer->{headers} // {} }, %{ $fault->{headers} // {} } };
	$answer->{body} =
	  Emulator::Faults::patched($answer->{body}, $fault->{patch})
	  if $fault->{patch};
	return $answer;
}

sub _redirection
{
	my ($url) = @_;
	return {
		status => 302,
		content_type => 'text/html',
		headers => { Location => $url },
		body => '<html><body>302 Found</body></html>'
	};
}

# Bytes that are neither JSON nor UTF-8
sub _garbage
{
	my $random = Emulator::Random->new('garbage');
	return "\xff\xfe" . join '',
	  map { chr $random->between(0, 255) } 3 .. $GARBAGE_BYTES;
}

# The row that an oversized response repeats: the first one of the real response,
# or a filler if that is an object or has a large row.
sub _some_row
{
	my ($self, $request) = @_;
	my $filler = '{"id":"filler"}';
	return $filler if $request->{method} ne 'GET';
	my $answer = $self->_real_answer($request);
	my $result = eval { decode_json($answer->{body})->{result} };
	my $row = ref $result eq 'ARRAY' ? $result->[0] : undef;
	my $json = defined $row ? encode_json($row) : '';
	return $json ne '' && length $json < 2000 ? $json : $filler;
}

# The operation's own response.  A fault that carries the operation out has made
# it already.
sub _real_answer
{
	my ($self, $request) = @_;
	return $request->{answer} // Emulator::Api::answer($self, $request);
}

# Counts a request against the limit of its key, and notes the headers for its
# response.  Returns the response to one beyond the limit, or undef.
sub _count
{
	my ($self, $request) = @_;
	my ($key) = Emulator::Api::key_of($request->{authorization});
	$request->{rate_headers} = {};
	return undef if !$self->{limiter} || !defined $key;
	my ($headers, $seconds) = $self->{limiter}->count($key);
	$request->{rate_headers} = $headers if $self->{rate_headers};
	return undef if !defined $seconds;
	return Emulator::Api::failure(
		429,
		'rate limit exceeded',
		'X-RateLimit-Reset' => sprintf('%.3f', $seconds + 0.0005));
}

# A request as the other modules use it.  The key is kept apart from the headers,
# which go to the journal.
sub _request
{
	my ($tx) = @_;
	my $req = $tx->req;
	my $raw_query = $req->url->query->to_string;
	my $headers = $req->headers->to_hash;
	my %headers = map { lc $_ => $headers->{$_} } keys %$headers;
	return {
		method => $req->method,
		path => $req->url->path->to_string,
		raw_query => $raw_query,
		query_pairs => [ @{ $req->url->query->pairs } ],
		query => $req->url->query->to_hash,
		authorization => delete $headers{authorization},
		headers => \%headers,
		text => $req->body,
		body => _body($req->body),
		json => scalar eval { decode_json($req->body) },
		connection => $tx->connection
	};
}

# The body: decoded if it is JSON, else as sent; undef if it is empty
sub _body
{
	my ($text) = @_;
	return undef if $text eq '';
	return eval { decode_json($text) } // $text;
}

sub _checked
{
	my ($changes) = @_;
	die "the options of a reset are a JSON object\n"
	  if ref $changes ne 'HASH';
	for my $name (sort keys %$changes)
	{
		die "reset has no \"$name\"; it has "
		  . join(', ', sort keys %DEFAULTS) . "\n"
		  if !exists $DEFAULTS{$name};
		my $value = $changes->{$name};
		die "$name: not a count\n"
		  if $name =~
		  /\A(?:services|patterns|backups|organizations|log_lines_per_hour|notification_count|private_endpoint_seconds|\w+_polls)\z/
		  && ($value // '') !~ /\A\d{1,5}\z/a;
		die "command_lag: not a number of seconds\n"
		  if $name eq 'command_lag'
		  && ($value // '') !~ /\A\d{1,5}(?:\.\d{1,3})?\z/a;
		die "rate_window: neither sliding nor fixed\n"
		  if $name eq 'rate_window'
		  && ($value // '') !~ /\A(?:sliding|fixed)\z/;
		die "log_lines_per_hour: fewer than $Emulator::Logs::FEWEST\n"
		  if $name eq 'log_lines_per_hour'
		  && $value < $Emulator::Logs::FEWEST;
		die "$name: none of @{ $CHOICES{$name} }\n"
		  if $CHOICES{$name} && !grep { $_ eq ($value // '') } @{ $CHOICES{$name} };
		die "max_services: not a count\n"
		  if $name eq 'max_services'
		  && ($value // 0) !~ /\A\d{1,5}\z/a;
		die "$name: not an object\n"
		  if ref $DEFAULTS{$name} && ref $value ne 'HASH';
		die "$name: not a string\n"
		  if $name =~ /\A(?:seed|key_id|key_secret)\z/
		  && (!defined $value || ref $value);
	}
	return %$changes;
}

sub _epoch
{
	my ($now) = @_;
	return undef if !defined $now;
	return parse_time($now)
	  // die "now: not of the form 2026-05-29T10:00:00.000Z\n";
}

1;
