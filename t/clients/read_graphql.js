// Read the views of chpg_bi_create by PostGraphile 4: read_graphql.js PORT STEP [ARGUMENT...]
//
// Prints one line for each step; see t/lib/ChpgTest/Clients.pm.

'use strict';

const { Pool } = require('pg');
const { createPostGraphileSchema, withPostGraphileContext } = require('postgraphile');
const { graphql } = require('graphql');

const [port, step, ...args] = process.argv.slice(2);
const pool = new Pool({ host: '127.0.0.1', port: Number(port), database: 'postgres', user: 'tool', password: 'word' });

// services becomes allServices, and patterns_by_hour allPatternsByHours, for PostGraphile makes plurals.
const plural = (view) => view.replace(/(hour|day)$/, '$1s');
const field = (view) => `all_${plural(view)}`.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

async function query(schema, text) {
    const result = await withPostGraphileContext({ pgPool: pool }, (context) => graphql(schema, text, null, context));
    if (result.errors) {
        throw result.errors[0];
    }
    return result.data;
}

const steps = {
    async lists(schema) {
        const type = schema.getQueryType().getFields();
        const views = (await pool.query("SELECT viewname FROM pg_views WHERE schemaname = 'bi'")).rows.map((row) => row.viewname);
        return views.filter((view) => type[field(view)] !== undefined).sort().join(' ');
    },

    async previews(schema, view) {
        const data = await query(schema, `{ rows: ${field(view)}(first: 1000) { nodes { serviceId } } }`);
        return data.rows.nodes.length;
    },

    // PostGraphile's own conditions are equalities.
    async filters(schema, view, hour) {
        const time = `${hour.replace(' ', 'T')}Z`;
        const data = await query(schema, `{ rows: ${field(view)}(condition: { time: "${time}" }) { nodes { serviceId } } }`);
        return data.rows.nodes.length;
    },

    async pages(schema, view, wanted) {
        const data = await query(schema, `{ rows: ${field(view)}(first: ${wanted}, offset: 100) { nodes { time } } }`);
        return data.rows.nodes.length;
    },
};

async function main() {
    const schema = await createPostGraphileSchema(pool, 'bi');
    console.log(String(await steps[step](schema, ...args)));
    await pool.end();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
