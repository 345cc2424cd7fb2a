//! ● A coin cell: what each thing a tag does takes out of it.
//!
//! Counted in nanovolts, as if the voltage fell evenly. At the default costs a cell lasts about five years of
//! check-ins every 40 seconds, or twenty thousand redraws.

/// Below this nothing is counted any more; a real tag would stop.
const EMPTY_NV: u64 = 2_000_000_000;

/// What things cost, in nanovolts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// A frame sent, with the time of listening after it.
    pub frame_nv: u64,
    /// A redraw.
    pub redraw_nv: u64,
    /// A second of the LED.
    pub lit_second_nv: u64,
}

impl Default for Costs {
    fn default() -> Self {
        Costs { frame_nv: 250, redraw_nv: 50_000, lit_second_nv: 2_500 }
    }
}

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Battery {
    nanovolts: u64,
    costs: Costs,
}

impl Battery {
    /// With this voltage.
    pub fn new(millivolts: u16, costs: Costs) -> Self {
        Battery { nanovolts: u64::from(millivolts) * 1_000_000, costs }
    }

    /// As a tag reports it.
    pub fn millivolts(&self) -> u16 {
        u16::try_from(self.nanovolts / 1_000_000).unwrap_or(u16::MAX)
    }

    /// A frame was sent.
    pub fn pay_frame(&mut self) {
        self.pay(self.costs.frame_nv);
    }

    /// The screen was redrawn.
    pub fn pay_redraw(&mut self) {
        self.pay(self.costs.redraw_nv);
    }

    /// The LED is lit for so long.
    pub fn pay_light(&mut self, seconds: u16) {
        self.pay(self.costs.lit_second_nv * u64::from(seconds));
    }

    fn pay(&mut self, nanovolts: u64) {
        self.nanovolts = self.nanovolts.saturating_sub(nanovolts).max(EMPTY_NV.min(self.nanovolts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_lasts_about_five_years() {
        let costs = Costs::default();
        let check_ins = (3_000_000_000 - EMPTY_NV) / costs.frame_nv;
        let years = check_ins * 40 / (365 * 24 * 3600);
        assert_eq!(years, 5);
    }

    #[test]
    fn it_never_falls_below_empty() {
        let mut battery =
            Battery::new(2001, Costs { frame_nv: 600_000, redraw_nv: 1_000_000_000, lit_second_nv: 0 });
        battery.pay_frame();
        assert_eq!(battery.millivolts(), 2000);
        battery.pay_redraw();
        battery.pay_redraw();
        assert_eq!(battery.millivolts(), 2000);
    }
}
