/*
 * rule: CHPG701 storage
 * title: Storage fills up
 * kind: risk
 * scope: metrics
 * function: _chpg_find_storage
 * thresholds: elsewhere
 */
/*
 * rule: CHPG703 connections
 * title: Connections run out
 * kind: risk
 * scope: metrics
 * function: _chpg_find_connections
 * thresholds: elsewhere
 */
