# Shared by all operations of the API: the table of routes, the envelope of
# responses and errors, the key, and the checks of identifiers and parameters.
package Emulator::Api;

use strict;
use warnings;

use Exporter   qw(import);
use Mojo::JSON qw(encode_json);
use Mojo::Util qw(b64_decode url_unescape);
use Emulator::Quirks;
use Emulator::Random;

our @EXPORT_OK = qw(success acknowledged failure refuse organization service
  running_service parameters integer one_of anything page_parameters page);

my $UUID = qr/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;

my %ERROR_CODE = (
	400 => 'BAD_REQUEST',
	401 => 'UNAUTHORIZED',
	403 => 'FORBIDDEN',
	404 => 'NOT_FOUND',
	409 => 'CONFLICT',
	429 => 'TOO_MANY_REQUESTS',
	500 => 'INTERNAL_ERROR',
	502 => 'BAD_GATEWAY',
	503 => 'SERVICE_UNAVAILABLE',
	504 => 'GATEWAY_TIMEOUT');

my @routes;

# Announces a route: method, path with {names}, and handler.  A handler gets the
# call and returns a response, or dies of one (see refuse).
sub route
{
	my ($method, $path, $handler) = @_;
	my @names = $path =~ /\{(\w+)\}/g;
	my $regex = join '([^/]+)', map { quotemeta } split /\{\w+\}/, $path, -1;
	push @routes, [ $method, qr/\A$regex\z/, \@names, $handler, $path ];
	return;
}

# The routes: [method, regular expression of the path, names in it, handler, path]
sub routes
{
	return @routes;
}

# Answers a request: { method, path, query_pairs, headers, body, … }.
sub answer
{
	my ($emulator, $request) = @_;
	my $answer = eval { _handle($emulator, $request) };
	return Emulator::Quirks::apply($emulator->{quirks}, $request, $answer)
	  if $answer;
	my $error = $@;
	return $error if ref $error eq 'HASH';
	warn $error;
	return failure(500, 'the emulator failed');
}

sub _handle
{
	my ($emulator, $request) = @_;
	refuse(401, 'No Authorization header provided.')
	  if !defined $request->{authorization};
	refuse(401, 'invalid credentials')
	  if credentials($emulator, $request) ne 'ok';
	for my $route (@routes)
	{
		my ($method, $regex, $names, $handler) = @$route;
		next if $method ne $request->{method};
		my @values = $request->{path} =~ $regex or next;
		my %call = (emulator => $emulator, request => $request);
		@call{@$names} = map { url_unescape($_) } @values;
		return $handler->(\%call);
	}
	refuse(404);
}

# The key of a Basic Authorization header: ('id', 'secret'), or nothing
sub key_of
{
	my ($authorization) = @_;
	return if ($authorization // '') !~ /\ABasic +(\S+)\z/i;
	return if b64_decode($1) !~ /\A([^:]*):(.*)\z/s;
	return ($1, $2);
}

# 'ok', 'wrong', or '' without an Authorization header
sub credentials
{
	my ($emulator, $request) = @_;
	return '' if !defined $request->{authorization};
	my ($id, $secret) = key_of($request->{authorization});
	return 'wrong' if !defined $id;
	my $wanted = $emulator->{keys}{$id};
	return defined $wanted && $wanted eq $secret ? 'ok' : 'wrong';
}

# A response with a result that is JSON already.  "status" is the envelope's 200,
# which some routes write as 200.0.  Further fields stand beside the result.
sub success
{
	my ($result, $status, %beside) = @_;
	$status //= '200';
	my $id = request_id();
	my $further = %beside ? encode_json(\%beside) =~ s/\A\{/,/r =~ s/\}\z//r : '';
	return {
		status => 200,
		body => qq({"result":$result,"requestId":"$id","status":$status$further})
	};
}

# Success without a result
sub acknowledged
{
	my $id = request_id();
	return { status => 200, body => qq({"requestId":"$id","status":200}) };
}

# The text follows the code of the status; an error without a text is bare.
sub failure
{
	my ($status, $text, %headers) = @_;
	my $code = $ERROR_CODE{$status} // "HTTP_$status";
	return {
		status => $status,
		headers => \%headers,
		body => encode_json(
			{
				status => $status,
				error => defined $text ? "$code: $text" : $code,
				requestId => request_id()
			})
	};
}

sub refuse
{
	die failure(@_);
}

my $request_ids = Emulator::Random->new('request', $$, time);

sub request_id
{
	return $request_ids->uuid;
}

# The organization of a call; a wrong one gets a bare error.
sub organization
{
	my ($call) = @_;
	my $id = $call->{organization};
	refuse(404)
	  if !grep { $_ eq $id } $call->{emulator}{fleet}->organization_ids;
	return $id;
}

# The service of a call
sub service
{
	my ($call) = @_;
	my $organization = organization($call);
	my $id = $call->{service};
	my $service = $call->{emulator}{fleet}->service($organization, $id);
	return $service if $service;
	refuse(400, "Invalid service id <string:$id>")
	  if $id !~ /\A(?:$UUID|pg[a-z0-9]{24})\z/;
	refuse(404, $id);
}

# The service of a call that reads what only a running one may have.  Which error the
# API has for another one is not known: see the option not_running.
sub running_service
{
	my ($call) = @_;
	my $service = service($call);
	my $state = $service->{fields}{state} // 'running';
	my $answer = $call->{emulator}{not_running};
	return $service
	  if $answer eq 'answered' || $state =~ /\A(?:running|creating|deleting)\z/;
	refuse(503) if $answer eq 'unavailable';
	refuse(400, "Service is not running: $state");
}

# The query parameters of a call, checked.  "known" has a check for each
# parameter, which dies of a text; "required" lists some of them.
sub parameters
{
	my ($call, $known, @required) = @_;
	my @pairs = @{ $call->{request}{query_pairs} };
	my %value;
	while (my ($name, $text) = splice @pairs, 0, 2)
	{
		my $check = $known->{$name}
		  or refuse(400, "Unknown parameter: $name");
		refuse(400, "query parameter '$name' is given twice")
		  if exists $value{$name};
		$value{$name} = $check->($name, $text);
	}
	for my $name (@required)
	{
		refuse(400, "query parameter '$name' is required")
		  if !defined $value{$name};
	}
	return \%value;
}

# The parameters of a list with cursors, and at most this many rows on a page
sub page_parameters
{
	my ($emulator, $most) = @_;
	my $checked = integer(1, $most);
	my $clamped = sub {
		my $limit = integer(-1e15)->(@_);
		return $limit < 1 ? 1 : $limit > $most ? $most : $limit;
	};
	return {
		limit => $emulator->{bad_limit} eq 'clamped' ? $clamped : $checked,
		cursor => \&anything
	};
}

# The page of a list that the parameters select, and what stands beside it.  A cursor
# belongs to the other parameters with which it was made.
sub page
{
	my ($call, $value, $default, @rows) = @_;
	my $cursors = $call->{emulator}{cursors};
	my @filters = grep { !/\A(?:limit|cursor)\z/ } sort keys %$value;
	my $list = join "\0", $call->{request}{path},
	  map { "$_=" . ($value->{$_} // '') } @filters;
	my $limit = 0 + ($value->{limit} // $default);
	my $start = 0;
	if (defined $value->{cursor})
	{
		$start = $cursors->place($list, $value->{cursor})
		  // refuse(400, 'Invalid cursor');
	}
	my $end = $start + $limit;
	my $next = $end < @rows ? $cursors->make($list, $end) : undef;
	$end = @rows if $end > @rows;
	return ([ @rows[ $start .. $end - 1 ] ], limit => $limit, nextCursor => $next);
}

# Checks for parameters()
sub integer
{
	my ($low, $high) = @_;
	return sub {
		my ($name, $text) = @_;
		refuse(400, "$name '$text' is not an integer")
		  if $text !~ /\A-?\d{1,15}\z/a;
		refuse(400, "$name $text is out of range")
		  if $text < $low || defined $high && $text > $high;
		return $text;
	};
}

sub one_of
{
	my (@choices) = @_;
	return sub {
		my ($name, $text) = @_;
		return $text if grep { $_ eq $text } @choices;
		refuse(400, "$name '$text' is none of " . join ', ', @choices);
	};
}

sub anything
{
	my ($name, $text) = @_;
	return $text;
}

1;
