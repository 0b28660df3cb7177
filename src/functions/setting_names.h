/*-------------------------------------------------------------------------
 *
 * setting_names.h
 *		Names of settings of a service that do not exist, and what was meant.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_SETTING_NAMES_H
#define CHPG_SETTING_NAMES_H

#include "engine/response.h"
#include "protocol/request_build.h"

/*
 * Warn of each setting of PgBouncer in a change that chpg does not know, if a known one
 * has almost the same name: the API accepts any.
 */
extern void chpg_warn_of_settings(const ChpgRequest *request);

/*
 * Let the failure of a change name the setting that the API refuses, and what was meant
 * if there is no such setting.
 */
extern void chpg_explain_setting(const ChpgRequest *request, ChpgCall *call);

#endif							/* CHPG_SETTING_NAMES_H */
