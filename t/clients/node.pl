# node-postgres: it lists the views of chpg_bi_create, previews, filters by time, pages by a cursor
# and cancels.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Clients;
use Test::More;

needs_node_modules('pg', 'pg-cursor');
start_clients();
my @client = ('node', "$FindBin::RealBin/read.js", client_port());
client_step(\@client, @$_) foreach client_steps();
client_cancels(\@client);

done_testing();
