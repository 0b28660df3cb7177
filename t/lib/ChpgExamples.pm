# The examples of README.md and docs/: taken out of a page, run against the emulator, compared with
# what the page shows. CONTRIBUTING.md has the few words by which a page says more of an example.
#
# psql is the one of PATH, and finds the server by PGHOST and PGPORT.
package ChpgExamples;

use strict;
use warnings;

use Exporter qw(import);
use IPC::Open3;

our @EXPORT_OK = qw(read_page run_page differences write_outputs shell_blocks
  links_of anchors_of);

# What stands for a value in "TEXT becomes VALUE"
my @VALUES = qw(url key_id key_secret);

my $HISTORY = 'examples_history';
my $CAPTURE = q{CALL chpg_capture('hour', max_windows => 1000);};

# What is left of output that varies when there is none
my $NO_ROWS = 'no rows';

# ---- Pages

# A page as { file, lines, begins, blocks }.  A block has kind (sql, setup, sh, text), text, line (of
# its fence, from 1), the words said of it (as, fails, not_run, becomes), and, if a block of output
# follows, output, output_lines (first and last, without the fences) and varies.  Dies of a word that
# does not exist, and of output without SQL.
sub read_page
{
	my ($file) = @_;
	my @lines = map { chomp; $_ } do { open my $in, '<', $file or die "$file: $!"; <$in> };
	my $page = { file => $file, lines => \@lines, blocks => [] };
	my (%said, $sql);

	for (my $i = 0; $i < @lines; $i++)
	{
		if ($lines[$i] =~ /^\s*<!-- example: (.*)/)
		{
			my ($word, $first) = ($1, $i);

			$word .= "\n" . $lines[ ++$i ] while $word !~ /-->/ && $i < $#lines;
			$word =~ s/\s*-->.*//s;
			say_word($page, \%said, $word, "$file:" . ($first + 1), $sql);
		}
		elsif ($lines[$i] =~ /^(\s*)```(\w*)/)
		{
			my ($indent, $kind, $first) = ($1, $2, $i);
			my $block = { kind => $kind, line => $i + 1, indent => $indent };
			my @text;

			push @text, $lines[$i] =~ s/^$indent//r while $lines[ ++$i ] !~ /^\s*```/;
			$block->{text} = join "\n", @text;
			if ($kind eq '')
			{
				die "$file:" . ($first + 1) . ": output without SQL before it (say ```text)\n" if !$sql;
				$sql->{output} = $block->{text};
				$sql->{output_lines} = [ $first + 1, $i - 1 ];
				$sql->{varies} = delete $said{varies} // '';
				$sql = undef;
			}
			else
			{
				$block->{$_} = delete $said{$_} for keys %said;
				push @{ $page->{blocks} }, $block;
				$sql = $kind eq 'sql' && !$block->{not_run} ? $block : undef;
			}
		}
		elsif ($lines[$i] =~ /\S/)
		{
			$sql = undef;
		}
	}
	return $page;
}

sub say_word
{
	my ($page, $said, $word, $where, $sql) = @_;

	my ($line) = $where =~ /(\d+)$/;

	if ($word =~ /^setup\n(.*)$/s) { push @{ $page->{blocks} }, { kind => 'setup', text => $1, line => $line, as => delete $said->{as} } }
	elsif ($word =~ /^(.+) becomes (.*)$/) { push @{ $page->{blocks} }, { kind => 'becomes', from => $1, to => $2 } }
	elsif ($word =~ /^(?:new database|with a history)$/) { $page->{begins} = $word }
	elsif ($word =~ /^as (\w+)$/) { $said->{as} = $1 }
	elsif ($word =~ /^fails (\w{5})$/) { $said->{fails} = $1 }
	elsif ($word =~ /^not run, because \S/) { $said->{not_run} = 1 }
	elsif ($word =~ /^(numbers|output) var(?:y|ies)$/ && $sql) { $said->{varies} = $1 }
	else { die "$where: no such word of an example: $word\n" }
	return;
}

sub shell_blocks { my ($page) = @_; return grep { $_->{kind} eq 'sh' } @{ $page->{blocks} } }

# ---- Running them

# Run all of a page's SQL, in order, in a database that is made for it; %value has url, key_id and
# key_secret.  Each block gets printed, what psql said, and state, the SQLSTATE of its last error.
sub run_page
{
	my ($page, %value) = @_;
	my $database = 'examples';

	my $begins = $page->{begins} // 'connected';

	clean_up($database);
	make_history(%value) if $begins eq 'with a history';
	psql('postgres', "CREATE DATABASE $database" . ($begins eq 'with a history' ? " TEMPLATE $HISTORY" : ''));
	connect_to_emulator($database, %value) if $begins eq 'connected';
	psql($database, qq{ALTER DATABASE $database SET search_path = "\$user", public, chpg;
		ALTER USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (SET key_id '$value{key_id}');})
	  if $begins ne 'new database';
	# An hour may have ended since the history was made.
	psql($database, "SET search_path = chpg; $CAPTURE") if $begins eq 'with a history';
	my $printed = psql($database, script_of($page, %value));
	for my $block (@{ $page->{blocks} })
	{
		next if !$block->{number};
		($block->{printed}, $block->{state}) =
		  $printed =~ /^\@\@begin $block->{number}\n(.*?)^\@\@end $block->{number} (\w*)\n/ms;
	}
	clean_up($database);
	return;
}

# A database with the extension, connected and without a limit
sub connect_to_emulator
{
	my ($database, %value) = @_;

	psql($database, <<"END");
CREATE SCHEMA chpg;
CREATE EXTENSION chpg SCHEMA chpg;
GRANT USAGE ON SCHEMA chpg TO PUBLIC;
SET search_path = chpg;
SELECT FROM chpg_connect('$value{key_id}', '$value{key_secret}', api_url => '$value{url}');
ALTER SERVER chpg OPTIONS (ADD rate_limit 'unlimited');
END
	return;
}

# The database that those with a history are copies of: it takes longest to make
sub make_history
{
	my (%value) = @_;

	return if psql('postgres', "SELECT 'is made' FROM pg_database WHERE datname = '$HISTORY'") =~ /is made/;
	psql('postgres', "CREATE DATABASE $HISTORY");
	connect_to_emulator($HISTORY, %value);
	psql($HISTORY, <<"END");
SET search_path = chpg;
SELECT chpg_history_enable('fleet_history');
UPDATE fleet_history.setting SET value = '84 hours' WHERE name = 'backfill';
UPDATE fleet_history.setting SET value = '1 hour' WHERE name = 'metric_bucket';
$CAPTURE
END
	return;
}

sub script_of
{
	my ($page, %value) = @_;
	my ($number, $role, @becomes) = (0, '');
	my $script = "\\pset pager off\n";

	$page->{becomes} = \@becomes;
	for my $block (@{ $page->{blocks} })
	{
		if ($block->{kind} eq 'becomes')
		{
			my $to = $block->{to};

			$to =~ s/\{$_\}/$value{$_}/g for @VALUES;
			push @becomes, [ $block->{from}, $to ];
			next;
		}
		next if $block->{kind} !~ /^(?:sql|setup)$/ || $block->{not_run};

		my $text = $block->{text};
		my $as = $block->{as} // '';

		$text =~ s/\Q$_->[0]\E/$_->[1]/g for @becomes;
		if ($as ne $role)
		{
			$script .= $as ne '' ? "\\set superuser :USER\n\\connect - $as\n" : "\\connect - :superuser\n";
			$role = $as;
		}
		$block->{number} = ++$number;
		$script .= "\\echo \@\@begin $number\n\\set LAST_ERROR_SQLSTATE 00000\n$text\n"
		  . "\\echo \@\@end $number :LAST_ERROR_SQLSTATE\n";
	}
	return $script;
}

# What psql prints of a script, notices and errors included, in order
sub psql
{
	my ($database, $script) = @_;
	my $pid = open3(my $in, my $out, undef, 'psql', '-X', '-q', '-d', $database);

	# All of it is written by a child, so that neither side waits for the other.
	my $writer = fork // die "could not fork: $!";
	if ($writer == 0)
	{
		print $in $script;
		close $in;
		require POSIX;
		POSIX::_exit(0);
	}
	close $in;
	my $printed = do { local $/; <$out> } // '';
	waitpid $_, 0 for $writer, $pid;
	return $printed;
}

# The database, and the roles that a page made, which own nothing elsewhere
sub clean_up
{
	my ($database) = @_;

	psql('postgres', <<"END");
SET client_min_messages = warning;
DROP DATABASE IF EXISTS $database WITH (FORCE);
SELECT format('DROP OWNED BY %1\$I; DROP ROLE %1\$I', rolname) FROM pg_roles WHERE rolname !~ '^pg_' AND oid >= 16384 \\gexec
END
	return;
}

# ---- Comparing

# What is wrong with a page that was run, as texts; none if all is as it says
sub differences
{
	my ($page) = @_;
	my @wrong;

	for my $block (grep { $_->{number} } @{ $page->{blocks} })
	{
		my $where = "$page->{file}:$block->{line}";
		my $fails = $block->{fails} // '00000';

		if (!defined $block->{printed})
		{
			push @wrong, "$where: was not reached";
		}
		elsif ($block->{state} ne $fails || ($fails eq '00000' && $block->{printed} =~ /^(?:ERROR|FATAL|psql: error|error|invalid command|\\\w+):? /m))
		{
			push @wrong, "$where: ends with SQLSTATE $block->{state} instead of $fails\n$block->{printed}";
		}
		elsif (defined $block->{output})
		{
			my $shown = comparable($page, $block->{output}, $block->{varies});
			my $printed = comparable($page, $block->{printed}, $block->{varies});

			push @wrong, "$where: prints\n$block->{printed}instead of\n$block->{output}\n"
			  if $shown ne $printed || $shown eq $NO_ROWS;
		}
	}
	return @wrong;
}

# Output without the widths of columns, which depend on what is in them
sub comparable
{
	my ($page, $text, $varies) = @_;

	$text =~ s/\Q$_->[0]\E/$_->[1]/g for @{ $page->{becomes} };
	$text =~ s/[ \t]+/ /g;
	$text =~ s/-{2,}/-/g;
	$text =~ s/ $//mg;
	$text =~ s/^ //mg;
	$text =~ s/\n+\z//;
	if ($varies eq 'numbers')
	{
		$text =~ s/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b/#/g;
		$text =~ s/-?\d+(?:[.:-]\d+)*(?:\+00\b)?/#/g;
		$text =~ s/-(?=\[)|-?\+-?|-+$/-/mg;
	}
	elsif ($varies eq 'output')
	{
		my @heads = $text =~ /^-\[ RECORD/ ? map { /^(\w+) \|/ ? $1 : () } split /\n/, $text : $text =~ /^(.*)\n-[-+]*\n(?!\(0 rows\))/m;

		return join "\n", @heads ? @heads : ($NO_ROWS);
	}
	return $text;
}

# Put what was printed into the page
sub write_outputs
{
	my ($page) = @_;
	my @lines = @{ $page->{lines} };

	for my $block (reverse grep { defined $_->{printed} && defined $_->{output} } @{ $page->{blocks} })
	{
		my ($first, $last) = @{ $block->{output_lines} };
		my $printed = $block->{printed};

		$printed =~ s/\Q$_->[1]\E/$_->[0]/g for @{ $page->{becomes} };
		splice @lines, $first, $last - $first + 1,
		  map { "$block->{indent}$_" =~ s/\s+$//r } aligned(split /\n/, $printed =~ s/\n+\z//r);
	}
	open my $out, '>', $page->{file} or die "$page->{file}: $!";
	print $out map { "$_\n" } @lines;
	close $out or die "$page->{file}: $!";
	return;
}

# The lines of one table as wide as its values are, which differ from what was printed
sub aligned
{
	my @lines = @_;
	my ($rule) = grep { $lines[$_] =~ /^-[-+]+$/ } 0 .. $#lines;

	return @lines if !defined $rule;
	if ($lines[0] =~ /^ +QUERY PLAN *$/)
	{
		return (' QUERY PLAN', '-' x 60, @lines[ 2 .. $#lines ]);
	}

	my @rows = grep { $lines[$_] =~ /^ .*\|/ || $_ == $rule } 0 .. $#lines;
	my @cells = map { [ split /$_->[0]/, $_->[1], -1 ] } map { $_ == $rule ? [ qr/\+/, $lines[$_] ] : [ qr/\|/, $lines[$_] ] } @rows;
	my $columns = @{ $cells[0] };
	my @widths = (0) x $columns;

	return @lines if $columns < 2 || grep { @$_ != $columns } @cells;
	for my $row (grep { $rows[$_] != $rule } 0 .. $#rows)
	{
		for my $column (0 .. $columns - 1)
		{
			my $length = length($cells[$row][$column] =~ s/^ +| +$//gr);

			$widths[$column] = $length if $length > $widths[$column];
		}
	}
	for my $row (0 .. $#rows)
	{
		$lines[ $rows[$row] ] = $rows[$row] == $rule
		  ? join('+', map { '-' x ($_ + 2) } @widths)
		  : join('|', map { aligned_cell($cells[$row][$_], $widths[$_], $row == 0) } 0 .. $columns - 1);
	}
	return @lines;
}

# To the right where it was, as psql puts numbers; heads go into the middle
sub aligned_cell
{
	my ($cell, $width, $is_head) = @_;
	my $right = $cell =~ /^  +\S/ && $cell !~ /\S  +$/;
	my $text = $cell =~ s/^ +| +$//gr;
	my $space = $width - length $text;

	return ' ' . ' ' x int($space / 2) . $text . ' ' x ($space - int($space / 2)) . ' ' if $is_head;
	return $right ? ' ' . ' ' x $space . "$text " : " $text" . ' ' x $space . ' ';
}

# ---- Links

# The targets of a page's links and pictures, without those to other sites
sub links_of
{
	my ($page) = @_;
	my $text = join "\n", @{ $page->{lines} };

	$text =~ s/^\s*```.*?^\s*```//msg;
	$text =~ s/`[^`\n]*`//g;
	return grep { !/^[a-z]+:/ } $text =~ /\]\(([^)\s]+)\)/g;
}

# The anchors of a page's heads, as forges make them
sub anchors_of
{
	my ($page) = @_;
	my $text = join "\n", @{ $page->{lines} };
	my (%seen, @anchors);

	$text =~ s/^\s*```.*?^\s*```//msg;
	for my $head ($text =~ /^#+ +(.*)$/mg)
	{
		my $anchor = lc $head;

		$anchor =~ s/\[([^]]*)\]\([^)]*\)/$1/g;
		$anchor =~ s/[^\w\- ]//g;
		$anchor =~ s/ /-/g;
		push @anchors, $anchor . ($seen{$anchor}++ ? '-' . ($seen{$anchor} - 1) : '');
	}
	return @anchors;
}

1;
