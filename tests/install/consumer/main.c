/* The installed C interface: FP8 codes of three numbers. */
#include <stdio.h>

#include "karat/karat.h"

int main(void) {
  const float x[3] = {448.0f, 1.0f, -0.5f};
  unsigned char codes[3];
  karat_error error;
  if (karat_encode(x, 3, "e4m3", NULL, codes, &error) != KARAT_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  return codes[0] == 0x7E && codes[1] == 0x38 && codes[2] == 0xB0 ? 0 : 1;
}
