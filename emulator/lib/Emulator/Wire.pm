# Sends a response: whole, or as a fault requires.
package Emulator::Wire;

use strict;
use warnings;

use Compress::Raw::Zlib qw(Z_OK MAX_WBITS WANT_GZIP);
use Mojo::IOLoop;
use Socket qw(SOL_SOCKET SO_LINGER);

# Size of the pieces in which an oversized response is made
my $BLOCK = 65536;

# Delay of a reset, so that it does not overtake the bytes sent before it.
my $RESET_DELAY = 0.05;

# Answers in one piece.
sub send_whole
{
	my ($tx, $answer) = @_;
	_head($tx, $answer);
	$tx->res->headers->content_length(length $answer->{body});
	$tx->res->body($answer->{body});
	$tx->resume;
	return;
}

# Answers as the fault requires.
sub send_faulty
{
	my ($tx, $answer, $fault) = @_;
	return _part_of_head($tx, $answer) if $fault->{close_in_head};
	_head($tx, $answer);
	$tx->res->headers->content_encoding($fault->{encoding})
	  if $fault->{encoding};
	my $source =
	  $fault->{oversize_bytes}
	  ? _oversized($fault, $answer->{body})
	  : _from_string($fault, $answer->{body});
	my ($length, $next) = @$source;
	my $announced =
	  defined $length && !$fault->{chunked} && !$fault->{close_delimited};
	$tx->res->headers->content_length($length) if $announced;
	$tx->res->headers->connection('close') if $fault->{close_delimited};

	my $limit = $fault->{truncate};
	$limit = defined $length ? int($length / 2) : 1024
	  if ($fault->{reset} // '') eq 'mid';
	my $plan = {
		next => defined $limit ? _limited($next, $limit) : $next,
		write => $announced || $fault->{close_delimited} ? 'write' : 'write_chunk',
		pause => ($fault->{drip_ms} // 0) / 1000,
		end => defined $fault->{truncate} || $fault->{close_delimited}
		? \&hang_up
		: $fault->{reset} ? \&reset_connection
		:                   undef
	};
	# The head is sent first, even if the body is not.
	_write($tx, $plan, undef, sub { _stream($tx, $plan) });
	return;
}

sub content_type { my ($answer) = @_; return $answer->{content_type} // 'application/json' }

# Closes the connection with what has been sent.
sub hang_up
{
	my ($tx) = @_;
	my $stream = Mojo::IOLoop->stream($tx->connection) or return;
	$stream->close;
	return;
}

# Closes the connection with a RST: without lingering, and without TLS's
# close_notify.
sub reset_connection
{
	my ($tx) = @_;
	my $stream = Mojo::IOLoop->stream($tx->connection) or return;
	my $handle = $stream->handle;
	setsockopt $handle, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
	# The stream releases the handle; this reference keeps it open.
	$stream->close;
	$handle->isa('IO::Socket::SSL')
	  ? $handle->close(SSL_no_shutdown => 1)
	  : $handle->close;
	return;
}

# The status line and some headers, then the end of the connection
sub _part_of_head
{
	my ($tx, $answer) = @_;
	my $stream = Mojo::IOLoop->stream($tx->connection) or return;
	my $type = content_type($answer);
	$stream->write(
		"HTTP/1.1 $answer->{status} OK\r\nContent-Type: $type\r\nContent-Le" =>
		  sub { hang_up($tx) });
	return;
}

sub _head
{
	my ($tx, $answer) = @_;
	my $res = $tx->res;
	$res->code($answer->{status});
	$res->headers->content_type(content_type($answer));
	my $headers = $answer->{headers} // {};
	$res->headers->header($_ => $headers->{$_}) for sort keys %$headers;
	return;
}

# Sends the pieces that $plan->{next} returns until it returns undef, each when the
# client has taken the one before.
sub _stream
{
	my ($tx, $plan) = @_;
	# The client may be gone, and a new transaction have its connection.
	return if $tx->is_finished;
	my $piece = $plan->{next}->();
	return _end($tx, $plan) if !defined $piece;
	my $further = sub { _stream($tx, $plan) };
	my $pause = $plan->{pause};
	_write($tx, $plan, $piece,
		$pause ? sub { Mojo::IOLoop->timer($pause => $further) } : $further);
	return;
}

sub _write
{
	my ($tx, $plan, $piece, $sent) = @_;
	my $write = $plan->{write};
	$tx->res->content->$write($piece => $sent);
	$tx->resume;
	return;
}

# After the last piece: closes the connection if the fault says so, else ends the
# response, which needs nothing if its length was announced.
sub _end
{
	my ($tx, $plan) = @_;
	if (my $end = $plan->{end})
	{
		Mojo::IOLoop->timer($RESET_DELAY => sub { $end->($tx) });
	}
	elsif ($plan->{write} eq 'write_chunk')
	{
		_write($tx, $plan, '');
	}
	return;
}

# Sources: [ length or undef, sub that returns the next piece or undef ].
sub _from_string
{
	my ($fault, $body) = @_;
	if ($fault->{encoding})
	{
		my $compressed = _compressed($fault->{encoding}, _once($body));
		$body = '';
		while (defined(my $piece = $compressed->()))
		{
			$body .= $piece;
		}
	}
	$body = substr $body, 0, $fault->{cut} if defined $fault->{cut};
	my $size = $fault->{drip_ms} ? 1 : length $body;
	my $offset = 0;
	return [
		length $body,
		sub {
			return undef if $offset >= length $body;
			my $piece = substr $body, $offset, $size;
			$offset += $size;
			return $piece;
		}
	];
}

# Repeats a row up to exactly the given size, filled up with white space.
sub _oversized
{
	my ($fault, $row) = @_;
	my $head =
	  '{"requestId":"00000000-0000-4000-8000-000000000000","status":200,"result":[';
	my $tail = "$row]}";
	my $left = $fault->{oversize_bytes} - length($head) - length($tail);
	my $again = "$row,";
	my $many = $again x (1 + int($BLOCK / length $again));
	my @pieces = ($head);
	my $next = sub {
		return shift @pieces if @pieces;
		return undef if !defined $left;
		my $block =
			$left >= length $many  ? $many
		  : $left >= length $again ? $again x int($left / length $again)
		  :                          (' ' x $left) . $tail;
		$left -= length $block;
		undef $left if $left < 0;
		return $block;
	};
	return [ undef, _compressed($fault->{encoding}, $next) ]
	  if $fault->{encoding};
	return [ $fault->{oversize_bytes}, $next ];
}

# A source of one piece
sub _once
{
	my ($piece) = @_;
	my @pieces = ($piece);
	return sub { return shift @pieces };
}

sub _compressed
{
	my ($encoding, $next) = @_;
	my ($deflate, $status) = Compress::Raw::Zlib::Deflate->new(
		-WindowBits => $encoding eq 'gzip' ? WANT_GZIP : MAX_WBITS,
		-AppendOutput => 1);
	die "deflate: $status\n" if $status != Z_OK;
	return sub {
		return undef if !$deflate;
		my $output = '';
		# An empty piece would end the answer.
		while ($output eq '')
		{
			my $piece = $next->();
			if (defined $piece)
			{
				$deflate->deflate($piece, $output);
				next;
			}
			$deflate->flush($output);
			undef $deflate;
			last;
		}
		return $output;
	};
}

sub _limited
{
	my ($next, $limit) = @_;
	return sub {
		return undef if $limit <= 0;
		my $piece = $next->();
		return undef if !defined $piece;
		$piece = substr $piece, 0, $limit;
		$limit -= length $piece;
		return $piece;
	};
}

1;
