/* The extension chpg; see README.md. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION chpg" to load this file. \quit

