// The kernels for AVX2 and FMA; compiled with those instructions and only called where the processor has them.
#define CHORALE_KERNELS kAvx2Kernels
#define CHORALE_KERNELS_NAME "AVX2"
#define CHORALE_LANES 8
#define CHORALE_ROW_BLOCK 3
#include "backend/cpu/kernels.inc"
