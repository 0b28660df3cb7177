/*
 * rule: CHPG401 error_rate
 * title: Many errors
 * kind: incident
 * scope: service
 * function: _chpg_find_errors
 * needs: executions, errors
 * thresholds: elsewhere
 */
/*
 * rule: CHPG402 error_spike
 * title: More errors than before
 * kind: incident
 * scope: change
 * function: _chpg_find_error_spikes
 * thresholds: elsewhere
 */
/*
 * rule: CHPG501 slower
 * title: Slower than before
 * kind: incident
 * scope: change
 * function: _chpg_find_changes
 * thresholds: elsewhere
 */
/*
 * rule: CHPG504 new_heavy
 * title: New, and heavy
 * kind: incident
 * scope: change
 * function: _chpg_find_changes
 * thresholds: elsewhere
 */
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
/*
 * rule: CHPG502 slower_service
 * title: The whole service is slower
 * kind: incident
 * scope: change
 * function: _chpg_find_changes
 * thresholds: elsewhere
 */
/*
 * rule: CHPG511 renamed
 * title: Queries have new ids
 * kind: incident
 * scope: change
 * function: _chpg_find_changes
 * thresholds: elsewhere
 */
