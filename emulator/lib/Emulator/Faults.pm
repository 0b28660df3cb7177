# The faults that tests have added: their checks, and the fault for a request.
package Emulator::Faults;

use strict;
use warnings;

use Encode     qw(encode_utf8);
use Mojo::JSON qw(encode_json decode_json);
use Mojo::Util qw(b64_decode);

# The smallest oversized answer: room for an envelope and a row
my $LEAST_OVERSIZE = 4096;

# Properties of a fault, with the check of each value
my %FIELDS = (
	path => \&_regex,
	method => \&_string,
	query => \&_regex,
	times => \&_count,
	skip => \&_count,
	latency_ms => \&_number,
	status => \&_status,
	headers => \&_object,
	content_type => \&_string,
	body => \&_string,
	body_base64 => \&_string,
	patch => \&_object,
	encoding => \&_encoding,
	oversize_bytes => \&_oversize,
	chunked => \&_flag,
	truncate => \&_count,
	cut => \&_count,
	close_delimited => \&_flag,
	close_in_head => \&_flag,
	garbage => \&_flag,
	drip_ms => \&_number,
	reset => \&_moment,
	close => \&_flag,
	hang => \&_flag,
	carry_out => \&_flag,
	redirect => \&_string);

my @ACTIONS = qw(latency_ms status headers content_type body body_base64
  patch encoding oversize_bytes chunked truncate cut close_delimited
  close_in_head garbage drip_ms reset close hang redirect);

# Effects that exclude each other
my @EXCLUSIVE =
  qw(body body_base64 garbage oversize_bytes redirect hang close);

sub new
{
	my ($class) = @_;
	return bless { faults => [], last_id => 0 }, $class;
}

sub clear
{
	my ($self) = @_;
	$self->{faults} = [];
	return;
}

# Adds a fault and returns its id; dies of a text if it is invalid.
sub add
{
	my ($self, $wanted) = @_;
	die "a fault is a JSON object\n" if ref $wanted ne 'HASH';
	my %fault = (asked => $wanted, matched => 0, fired => 0);
	for my $name (sort keys %$wanted)
	{
		my $check = $FIELDS{$name}
		  or die "a fault has no \"$name\"; it has "
		  . join(', ', sort keys %FIELDS) . "\n";
		$fault{$name} = $check->($name, $wanted->{$name});
	}
	_check_together(\%fault);
	$fault{body} = encode_utf8($fault{body}) if exists $fault{body};
	$fault{body} = b64_decode($fault{body_base64})
	  if exists $fault{body_base64};
	$fault{id} = ++$self->{last_id};
	push @{ $self->{faults} }, \%fault;
	return $fault{id};
}

# The faults as added, with their counters
sub list
{
	my ($self) = @_;
	return map {
		{
			%{ $_->{asked} },
			  id => $_->{id},
			  matched => $_->{matched},
			  fired => $_->{fired}
		}
	} @{ $self->{faults} };
}

# The fault for a request: the first that matches, is past its "skip" and has
# "times" left.
sub meet
{
	my ($self, $request) = @_;
	for my $fault (@{ $self->{faults} })
	{
		next if !_matches($fault, $request);
		next if $fault->{matched}++ < ($fault->{skip} // 0);
		next if defined $fault->{times} && $fault->{fired} >= $fault->{times};
		$fault->{fired}++;
		return $fault;
	}
	return undef;
}

# The body with some of its fields set, or deleted with {"$delete":1}.  Paths
# are dotted, numbers are places in arrays.  A path that does not exist is ignored.
sub patched
{
	my ($body, $patch) = @_;
	my $document = decode_json($body);
	for my $path (sort keys %$patch)
	{
		_patch($document, $patch->{$path}, split /\./, $path);
	}
	return encode_json($document);
}

sub _patch
{
	my ($node, $value, $step, @rest) = @_;
	my $in_array = ref $node eq 'ARRAY' && $step =~ /\A\d+\z/a;
	return if !$in_array && ref $node ne 'HASH';
	return if $in_array && $step > @$node;
	if (@rest)
	{
		_patch($in_array ? $node->[$step] : $node->{$step}, $value, @rest);
	}
	elsif (ref $value eq 'HASH' && $value->{'$delete'})
	{
		$in_array ? splice(@$node, $step, 1) : delete $node->{$step};
	}
	elsif ($in_array)
	{
		$node->[$step] = $value;
	}
	else
	{
		$node->{$step} = $value;
	}
	return;
}

sub _matches
{
	my ($fault, $request) = @_;
	return 0
	  if defined $fault->{method} && $fault->{method} ne $request->{method};
	return 0 if defined $fault->{path} && $request->{path} !~ $fault->{path};
	return 0
	  if defined $fault->{query} && $request->{raw_query} !~ $fault->{query};
	return 1;
}

sub _check_together
{
	my ($fault) = @_;
	die "a fault needs an action: " . join(', ', @ACTIONS) . "\n"
	  if !grep { exists $fault->{$_} } @ACTIONS;
	my @exclusive = grep { exists $fault->{$_} } @EXCLUSIVE;
	die 'these exclude each other: ' . join(', ', @exclusive) . "\n"
	  if @exclusive > 1;
	die "\"patch\" is for the real answer: it excludes $exclusive[0]\n"
	  if exists $fault->{patch} && @exclusive;
	die "\"truncate\" and \"reset\" exclude each other\n"
	  if exists $fault->{truncate} && exists $fault->{reset};
	die "\"oversize_bytes\" and \"drip_ms\" exclude each other\n"
	  if exists $fault->{oversize_bytes} && exists $fault->{drip_ms};
	die "\"oversize_bytes\" and \"cut\" exclude each other\n"
	  if exists $fault->{oversize_bytes} && exists $fault->{cut};
	die "\"close_delimited\" and \"chunked\" exclude each other\n"
	  if exists $fault->{close_delimited} && exists $fault->{chunked};
	return;
}

sub _regex
{
	my ($name, $value) = @_;
	_string($name, $value);
	return
	  eval { qr/$value/ }
	  // die "$name: " . ($@ =~ s/ at \S+ line.*//sr) . "\n";
}

sub _string
{
	my ($name, $value) = @_;
	die "$name: not a string\n" if !defined $value || ref $value;
	return $value;
}

sub _number
{
	my ($name, $value) = @_;
	die "$name: not a positive number\n"
	  if !defined $value || $value !~ /\A\d+(?:\.\d+)?\z/a;
	return $value;
}

sub _count
{
	my ($name, $value) = @_;
	die "$name: not a count\n" if !defined $value || $value !~ /\A\d+\z/a;
	return $value;
}

sub _status
{
	my ($name, $value) = @_;
	die "$name: not an HTTP status from 200 to 999\n"
	  if !defined $value || $value !~ /\A[2-9]\d\d\z/a;
	return $value;
}

sub _object
{
	my ($name, $value) = @_;
	die "$name: not an object\n" if ref $value ne 'HASH';
	return $value;
}

sub _flag
{
	my ($name, $value) = @_;
	die "$name: leave it out, or say true\n" if !$value;
	return 1;
}

sub _encoding
{
	my ($name, $value) = @_;
	die "$name: \"gzip\" or \"deflate\"\n"
	  if ($value // '') !~ /\A(?:gzip|deflate)\z/;
	return $value;
}

sub _oversize
{
	my ($name, $value) = @_;
	_count($name, $value);
	die "$name: at least $LEAST_OVERSIZE\n" if $value < $LEAST_OVERSIZE;
	return $value;
}

sub _moment
{
	my ($name, $value) = @_;
	die "$name: \"before\" or \"mid\"\n"
	  if ($value // '') !~ /\A(?:before|mid)\z/;
	return $value;
}

1;
