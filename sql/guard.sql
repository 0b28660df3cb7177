/* The extension chpg; see README.md. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION chpg" to load this file. \quit

/*
 * Nothing that others have made in the extension's schema is found by a short name,
 * or as an operator, neither by this script nor by what it creates: bodies in BEGIN
 * ATOMIC keep what their names mean here.  What the extension creates is called
 * @extschema@.NAME.
 */
SET LOCAL search_path = pg_catalog, pg_temp;

