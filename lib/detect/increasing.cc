// The increasing detector: the newest window of a measure is clearly above the customer's own
// earlier ones (comparison.h). A customer to thank, or to offer more to.
#include "detect/comparison.h"

namespace heartbeatd {

Detector MakeIncreasing(MapReader& fields, const DetectorContext& context) {
  return MakeComparison(fields, context, Direction::kUp);
}

}  // namespace heartbeatd
