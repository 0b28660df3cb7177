# SQLAlchemy over psycopg2: it reflects the views of chpg_bi_create with their comments, previews, filters by time, pages and cancels.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Clients;
use Test::More;

plan(skip_all => 'python3-sqlalchemy or python3-psycopg2 is not installed') if system(q{/usr/bin/python3 -c 'import sqlalchemy, psycopg2' 2>/dev/null}) != 0;

start_clients();
my @client = ('/usr/bin/python3', "$FindBin::RealBin/read.py", 'sqlalchemy', client_port());
client_step(\@client, @$_) foreach client_steps();
client_cancels(\@client);

done_testing();
