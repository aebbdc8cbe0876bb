// The layout constants of step_abi.h and image_abi.h by name: what Java compares with its own at start.
#pragma once

#include <string>

namespace chorale {

// Lines "name=value\n": kName=..., sizeof.Struct=..., offsetof.Struct.field=...
std::string DescribeAbi();

}  // namespace chorale
