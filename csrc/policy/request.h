/* Questions of rules about one HTTP request (struct sl_literal), answered. It knows no rules.
 * Every read of the image is bounds-checked; *broken is set where it contradicts itself, and nothing holds. */
#ifndef SLUICE_REQUEST_H
#define SLUICE_REQUEST_H

#include "policy/image.h"
#include "policy/judge.h"

/* Whether the request is as LITERALS `literal` wants it. */
int sl_literal_holds(const struct sl_image *image, uint32_t literal, const struct sl_request *request, int *broken);

#endif
