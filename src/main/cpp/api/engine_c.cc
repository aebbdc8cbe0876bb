// The edge of the library: turns every failure into a status and a message, and lets nothing be thrown across it.
#include "chorale/engine_c.h"

#include "chorale/step_abi.h"

#define CH_EXPORT __attribute__((visibility("default")))

extern "C" {

CH_EXPORT int32_t ch_abi_version(void) { return chorale::kAbiVersion; }

}  // extern "C"
