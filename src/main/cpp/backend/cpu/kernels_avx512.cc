// The kernels for AVX-512; compiled with those instructions and only called where the processor has them.
#define CHORALE_KERNELS kAvx512Kernels
#define CHORALE_KERNELS_NAME "AVX-512"
#define CHORALE_LANES 16
#define CHORALE_ROW_BLOCK 8
#include "backend/cpu/kernels.inc"
